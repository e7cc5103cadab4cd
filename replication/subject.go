package replication

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Bounds of the work of one page.
const (
	maxVisits = 2048 // sessions looked at, some 10 µs each
	maxChunks = 2048 // parts of their indexes looked at
)

// goneMs stands for when a session was opened of which only the location is left: such ones are told last.
const goneMs = math.MaxInt64

// search finds what a subject's sessions said, in the order of their spots.
func (s *store) search(q search) (found, error) {
	over := s.overlaidOf(q.subject) // before the disk: what is flushed in between is seen twice, never missed
	f := finder{search: q, over: over, found: found{through: lastSpot}}
	err := s.view(func(tx *bolt.Tx) error {
		f.tx = tx
		return f.run()
	})
	return f.found, err
}

// overlaidSession is what memory holds of a session and the disk may not have.
type overlaidSession struct {
	opened int64 // of one that was opened there, else -1
	gone   bool
	erased bool // and so no longer the subject's, whatever the disk has
	events []storedEvent
}

// overlaidOf gives what memory holds of a subject's sessions. A session that was erased names no subject any more: it is told by its id.
func (s *store) overlaidOf(subject skein.Subject) map[skein.SessionID]*overlaidSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[skein.SessionID]*overlaidSession{}
	for _, m := range []map[skein.SessionID]*change{s.flushing, s.dirty} {
		for id, c := range m {
			if c.state.Subject != subject && c.state.Phase != session.PhaseErased {
				continue
			}
			o := all[id]
			if o == nil {
				o = &overlaidSession{opened: -1}
				all[id] = o
			}
			o.erased = c.state.Phase == session.PhaseErased
			if o.gone = c.state.Phase.Gone(); o.gone {
				o.events = nil
				continue
			}
			o.events = append(o.events, c.events...)
			if first := c.events; len(first) > 0 && first[0].kind == session.Opened {
				o.opened = max(first[0].at, 0)
			}
		}
	}
	return all
}

// finder walks through a subject's sessions.
type finder struct {
	search
	found
	tx     *bolt.Tx
	over   map[skein.SessionID]*overlaidSession
	visits int
	chunks int
	size   int
}

// candidate is a session of the subject.
type candidate struct {
	opened int64
	id     skein.SessionID
}

func (a candidate) compare(b candidate) int {
	return cmp.Or(cmp.Compare(a.opened, b.opened), compareIDs(a.id, b.id))
}

func (f *finder) run() error {
	fresh, err := f.fresh()
	if err != nil {
		return err
	}
	lists := f.lists()
	var last candidate
	for {
		next, from := candidate{}, -1
		if len(fresh) > 0 {
			next, from = fresh[0], len(lists)
		}
		for i, l := range lists {
			if c, ok := l.head(); ok && (from < 0 || c.compare(next) < 0) {
				next, from = c, i
			}
		}
		switch {
		case from < 0 || next.opened >= f.to && next.opened != goneMs: // which is no time
			return nil
		case from == len(lists):
			fresh = fresh[1:]
		default:
			lists[from].next()
		}
		if next == last || next.compare(candidate{f.after.opened, f.after.session}) < 0 {
			continue // the disk has it by now, or it was told before
		}
		last = next
		if done, err := f.visit(next); done || err != nil {
			return err
		}
	}
}

// fresh gives the sessions of which memory has events that the disk may not have: there they may stand in the class of a
// shorter span, or not at all.
func (f *finder) fresh() ([]candidate, error) {
	var list []candidate
	for id, o := range f.over {
		if o.gone || len(o.events) == 0 {
			continue
		}
		if o.opened < 0 {
			w, err := readHeader(f.tx, id)
			if err != nil {
				return nil, err
			}
			if w == nil { // it is gone by now
				continue
			}
			o.opened = w.OpenedMs
		}
		list = append(list, candidate{o.opened, id})
	}
	slices.SortFunc(list, candidate.compare)
	return list, nil
}

// spanList goes through the sessions of one class.
type spanList struct {
	prefix []byte // with the class
	cursor *bolt.Cursor
	key    []byte
	gone   bool
}

// lists gives a list for each class, at the first session that may matter.
func (f *finder) lists() []*spanList {
	classes := make([]byte, spanClasses, spanClasses+1)
	for i := range classes {
		classes[i] = byte(i)
	}
	if f.sessions {
		classes = append(classes, goneClass)
	}
	lists := make([]*spanList, len(classes))
	for i, class := range classes {
		l := &spanList{prefix: append(subjectPrefix(f.subject), class), cursor: f.tx.Bucket(subjectsBucket).Cursor(), gone: class == goneClass}
		begin := candidate{f.after.opened, f.after.session}
		if span := spanOf(class & 31); !l.gone && class < spanClasses-1 && f.from > span && f.from-span > begin.opened {
			begin = candidate{opened: f.from - span} // an older one of this class was over before
		}
		if l.gone && begin.opened < goneMs {
			begin = candidate{}
		} else if l.gone {
			begin.opened = 0
		}
		l.key, _ = l.cursor.Seek(subjectKey(f.subject, class, begin.opened, begin.id))
		lists[i] = l
	}
	return lists
}

// head gives the session at which the list is.
func (l *spanList) head() (candidate, bool) {
	if !hasPrefix(l.key, l.prefix) || len(l.key) <= len(l.prefix)+8 {
		return candidate{}, false
	}
	rest := l.key[len(l.prefix):]
	c := candidate{int64(binary.BigEndian.Uint64(rest)), skein.SessionID(rest[8:])}
	if l.gone {
		c.opened = goneMs
	}
	return c, true
}

func (l *spanList) next() { l.key, _ = l.cursor.Next() }

// visit takes in one session; done says that the page ends with it.
func (f *finder) visit(c candidate) (done bool, err error) {
	f.visits++
	from := skein.Seq(0)
	if c == (candidate{f.after.opened, f.after.session}) {
		from = f.after.seq
	}
	switch o := f.over[c.id]; {
	case from == math.MaxUint64: // told to its end by an earlier page
	case f.sessions:
		if from == 0 && (o == nil || !o.erased) {
			f.said = append(f.said, session.Said{Opened: fromMillis(c.opened), Event: session.Event{Session: c.id, Seq: math.MaxUint64}})
		}
	case o != nil && o.gone:
	default:
		if done, err = f.events(c, from); done || err != nil {
			return done, err
		}
	}
	if f.visits < maxVisits && len(f.said) < f.limit {
		return false, nil
	}
	f.stop(spot{c.opened, c.id, math.MaxUint64})
	return true, nil
}

func (f *finder) stop(at spot) { f.through, f.more = at, true }

// events takes in what a session said behind a sequence number.
func (f *finder) events(c candidate, after skein.Seq) (done bool, err error) {
	last := after
	take := func(e eventAt, content []byte) error {
		if last = e.seq; e.at < f.from || e.at >= f.to {
			return nil
		}
		ev, err := decodeEvent(content)
		if err != nil {
			return fmt.Errorf("session %s: %w", c.id, err)
		}
		if f.size += len(ev.Text); len(f.said) > 0 && f.size > f.bytes {
			done = true // this one begins the next page
			f.stop(spot{c.opened, c.id, e.seq - 1})
			return nil
		}
		f.said = append(f.said, said(c.opened, ev))
		if len(f.said) >= f.limit {
			done = true
			f.stop(spot{c.opened, c.id, e.seq})
		}
		return nil
	}
	err = f.stored(c.id, after, func(e eventAt) (bool, error) {
		if e.at < f.from || e.at >= f.to {
			last = e.seq
			return true, nil
		}
		content, err := readEventBytes(f.tx, e.position)
		if err == nil {
			err = take(e, content)
		}
		return !done, err
	})
	if err != nil || done {
		return done, err
	}
	if f.chunks >= maxChunks { // the rest of this session is for the next page
		f.stop(spot{c.opened, c.id, last})
		return true, nil
	}
	if o := f.over[c.id]; o != nil {
		for i := range o.events {
			if e := &o.events[i]; e.seq > last && !done {
				if err := take(e.eventAt, e.value[sealSize:]); err != nil {
					return false, err
				}
			}
		}
	}
	return done, nil
}

// stored calls f with where the file has a session's events behind a sequence number, in order, until f gives false or
// as much of the index as one page may was looked at. Of a part of the index in which no time fits only the last is given.
func (f *finder) stored(id skein.SessionID, after skein.Seq, each func(eventAt) (more bool, err error)) error {
	w, err := readHeader(f.tx, id)
	if err != nil || w == nil {
		return err
	}
	recent, err := decodeEvents(w.Recent)
	if err != nil {
		return fmt.Errorf("session %s: %w", id, err)
	}
	more := true
	part := func(list []eventAt) error {
		if from, to := timesOf(list); len(list) > 0 && (to < f.from || from >= f.to) {
			list = list[len(list)-1:]
		}
		for _, e := range list {
			if e.seq <= after || !more {
				continue
			}
			var err error
			if more, err = each(e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(recent) == 0 || recent[0].seq > after+1 {
		if err := eachChunk(f.tx, id, after, func(chunk []byte) (bool, error) {
			f.chunks++
			list, err := decodeEvents(chunk)
			if err == nil {
				err = part(list)
			}
			return more && f.chunks < maxChunks, err
		}); err != nil {
			return err
		}
	}
	if !more || f.chunks >= maxChunks {
		return nil
	}
	return part(recent)
}
