package replication

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

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
	encoded []byte // events, each behind its length: what the rolling hash takes in
}

func (e *entry) apply(w *wire.Command) (session.Result, error) {
	if tick := w.GetTick(); tick != nil {
		step := min(max(time.Duration(tick.ElapsedNs), 0), maxTick)
		e.at.clock += session.Committed(step)
		return session.Result{}, nil
	}
	c := commandFromWire(w)
	st, err := e.state(c.Session)
	if err != nil {
		return session.Result{}, err
	}
	events, result := session.Apply(st, c, session.Now{Clock: e.at.clock})
	if len(events) == 0 {
		return result, nil
	}
	if st == nil {
		e.at.sessions++
	}
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
		c = &change{}
		e.changes[id] = c
	}
	c.state = st
	opts := proto.MarshalOptions{Deterministic: true}
	for i := range events {
		value, err := opts.Marshal(eventToWire(&events[i]))
		if err != nil {
			return fmt.Errorf("encode event %d of %s: %w", events[i].Seq, id, err)
		}
		e.encoded = binary.BigEndian.AppendUint32(e.encoded, uint32(len(value)))
		e.encoded = append(e.encoded, value...)
		if events[i].Kind.Kept() {
			c.events = append(c.events, storedEvent{events[i].Seq, value})
		}
	}
	return nil
}

// seal folds the entry's events into the rolling hash: SHA-256 of the hash before and the events.
func (e *entry) seal() {
	if len(e.encoded) == 0 {
		return
	}
	h := sha256.New()
	h.Write(e.at.hash[:])
	h.Write(e.encoded)
	h.Sum(e.at.hash[:0])
}
