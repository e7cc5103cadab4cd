package replication

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// maxTick is the most that one tick advances the group's clock.
const maxTick = time.Second

// machine applies log entries to the store. The library calls it from one goroutine. Once an entry cannot be
// applied it applies nothing more: this replica no longer knows what the others hold.
type machine struct {
	group  uint32
	epochs *epochs
	store  *store
	fatal  func(error)
	stop   <-chan struct{} // closed when the group stops; ends the wait for the disk
	broken error
	passed checkpoints
}

var _ raft.BatchingFSM = (*machine)(nil)

// Apply applies one entry; the response is []session.Result or an error.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries in order.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	for i, l := range logs {
		results, err := m.applyLog(l)
		switch {
		case err != nil:
			responses[i] = err
		default:
			responses[i] = results
		}
	}
	return responses
}

func (m *machine) applyLog(l *raft.Log) ([]session.Result, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	at := m.store.mark()
	if l.Index <= at.index {
		return nil, nil // replayed from the log; the state has it
	}
	at.index, at.term = l.Index, l.Term
	if l.Type != raft.LogCommand {
		m.store.publish(batch{at: at})
		return nil, nil
	}
	m.store.waitRoom(m.stop)
	env, err := decodeEnvelope(l.Data, m.group)
	if err != nil {
		return nil, m.fail(l, err)
	}
	if at := m.epochs.stamp(); env.ClusterEpoch > at {
		return nil, m.fail(l, fmt.Errorf("%w: the entry is of cluster epoch %d, this replica of %d", errCorrupt, env.ClusterEpoch, at))
	}
	e := entry{store: m.store, at: at, changes: make(map[skein.SessionID]*change, len(env.Commands)), results: make([]session.Result, len(env.Commands))}
	for i, c := range env.Commands {
		if e.results[i], err = e.apply(c); err != nil {
			return nil, m.fail(l, err)
		}
	}
	e.seal()
	m.store.publish(batch{at: e.at, changes: e.changes})
	m.passed.add(e.at.index, e.at.hash)
	return e.results, nil
}

func (m *machine) fail(l *raft.Log, err error) error {
	m.broken = fmt.Errorf("apply entry %d of term %d: %w", l.Index, l.Term, err)
	m.fatal(m.broken)
	return m.broken
}

// entry is one log entry while it is applied.
type entry struct {
	store   *store
	at      mark
	changes map[skein.SessionID]*change
	results []session.Result
	sum     hash.Hash // over its events, nil before the first
}

func (e *entry) apply(w *wire.Command) (session.Result, error) {
	if tick := w.GetTick(); tick != nil {
		step := min(max(time.Duration(tick.ElapsedNs), 0), maxTick)
		e.at.clock += session.Committed(step)
		return session.Result{}, nil
	}
	if c := w.GetCalendar(); c != nil {
		e.at.calendar = e.at.calendar.Advance(session.Calendar(c.WallMs), time.Duration(c.ElapsedNs))
		if e.at.first == 0 {
			e.at.first = e.at.calendar
		}
		return session.Result{}, nil
	}
	c := commandFromWire(w)
	st, err := e.state(c.Session)
	if err != nil {
		return session.Result{}, err
	}
	events, result := session.Apply(st, c, e.at.now())
	if len(events) == 0 {
		return result, nil
	}
	was := session.PhaseOpen
	if st != nil {
		was = st.Phase
	}
	e.at.count(st == nil, was, result.State.Phase)
	if err := e.take(c.Session, result.State, events); err != nil {
		return session.Result{}, err
	}
	e.changes[c.Session].letters += letters(result.State) - letters(st)
	return result, nil
}

func (e *entry) state(id skein.SessionID) (*session.State, error) {
	if c := e.changes[id]; c != nil {
		return c.state, nil
	}
	return e.store.get(id)
}

func (e *entry) take(id skein.SessionID, st *session.State, events []session.Event) error {
	c := e.changes[id]
	if c == nil {
		c = &change{events: make([]storedEvent, 0, len(events))}
		e.changes[id] = c
	}
	c.state = st
	for i := range events {
		value, err := sealedEvent(&events[i], e.at.position+1)
		if err != nil {
			return fmt.Errorf("encode event %d of %s: %w", events[i].Seq, id, err)
		}
		e.fold(value[sealSize:])
		if kind := events[i].Kind; kind.Kept() {
			e.at.position++
			at := eventAt{events[i].Seq, e.at.position, toMillis(events[i].At)}
			c.events = append(c.events, storedEvent{at, kind, events[i].Subject, value})
		}
	}
	return nil
}

// sealedEvent encodes an event for its position.
func sealedEvent(ev *session.Event, position uint64) ([]byte, error) {
	w := eventToWire(ev)
	buf := make([]byte, sealSize+w.SizeVT())
	if _, err := w.MarshalToSizedBufferVT(buf[sealSize:]); err != nil {
		return nil, err
	}
	var key [8]byte // on the stack, unlike eventKey's
	binary.BigEndian.PutUint64(key[:], position)
	sealInPlace(key[:], buf)
	return buf, nil
}

// fold takes an encoded event into the rolling hash: SHA-256 of the hash before and the entry's events, each behind its length.
func (e *entry) fold(event []byte) {
	if e.sum == nil {
		e.sum = sha256.New()
		e.sum.Write(e.at.hash[:])
	}
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(event)))
	e.sum.Write(size[:])
	e.sum.Write(event)
}

// seal ends the rolling hash of the entry.
func (e *entry) seal() {
	if e.sum != nil {
		e.sum.Sum(e.at.hash[:0])
	}
}
