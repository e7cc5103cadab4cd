package replication

import (
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// Limits of one page.
const (
	maxHistory     = 500     // events
	maxHistoryByte = 4 << 20 // bytes of events; a page holds at least one
	maxSessions    = 1000
)

// history gives kept events with a sequence number above after, oldest first, at most limit of them; none of a session that is gone.
func (s *store) history(id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error) {
	limit = min(limit, maxHistory)
	if st := s.cached(id); st != nil && st.Phase.Gone() {
		return nil, nil // the disk may still have it
	}
	over := s.overlaid(id) // before the disk: what is flushed in between is seen twice, never missed
	var events []session.Event
	last, size := after, 0
	take := func(seq skein.Seq, content []byte) error {
		ev, err := decodeEvent(content)
		if err != nil {
			return err
		}
		events, last, size = append(events, ev), seq, size+len(content)
		return nil
	}
	err := s.view(func(tx *bolt.Tx) error {
		list, err := placesOf(tx, id, after, limit)
		if err != nil {
			return err
		}
		for _, at := range list {
			if size >= maxHistoryByte {
				return nil
			}
			content, err := readEventBytes(tx, at.position)
			if err == nil {
				err = take(at.seq, content)
			}
			if err != nil {
				return fmt.Errorf("session %s: %w", id, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, e := range over {
		if e.seq > last && len(events) < limit && size < maxHistoryByte {
			if err := take(e.seq, e.value[sealSize:]); err != nil {
				return nil, err
			}
		}
	}
	return events, nil
}

func decodeEvent(buf []byte) (session.Event, error) {
	w := &wire.Event{}
	if err := w.UnmarshalVT(buf); err != nil {
		return session.Event{}, fmt.Errorf("%w: event: %w", errCorrupt, err)
	}
	return eventFromWire(w), nil
}

// list gives sessions in the order of their ids, those after an id, at most limit of them. Those that are gone are left out.
func (s *store) list(after skein.SessionID, limit int) ([]*session.State, error) {
	limit = min(limit, maxSessions)
	ids, gone := s.overlaidIDs(after)
	err := s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(sessionsBucket).Cursor()
		n := 0
		for k, _ := c.Seek([]byte(after)); k != nil && n < limit; k, _ = c.Next() {
			if id := skein.SessionID(k); id > after && !gone[id] {
				ids = append(ids, id)
				n++
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	ids = ids[:max(0, min(limit, len(ids)))]
	states := make([]*session.State, 0, len(ids))
	for _, id := range ids {
		st, err := s.get(id)
		if err != nil {
			return nil, err
		}
		if st != nil && !st.Phase.Gone() {
			states = append(states, st)
		}
	}
	return states, nil
}

// overlaidIDs gives the sessions behind an id that memory has, and those of them that are gone, which the disk may still have:
// a page without them would be short, and look like the last one.
func (s *store) overlaidIDs(after skein.SessionID) (ids []skein.SessionID, gone map[skein.SessionID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone = map[skein.SessionID]bool{}
	for _, m := range []map[skein.SessionID]*change{s.flushing, s.dirty} {
		for id, c := range m {
			switch {
			case id <= after:
			case c.state.Phase.Gone():
				gone[id] = true
			default:
				ids = append(ids, id)
			}
		}
	}
	return slices.DeleteFunc(ids, func(id skein.SessionID) bool { return gone[id] }), gone
}
