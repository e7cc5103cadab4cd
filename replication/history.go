package replication

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

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

// history gives kept events with a sequence number above after, oldest first, at most limit of them.
func (s *store) history(id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error) {
	limit = min(limit, maxHistory)
	over := s.overlaid(id) // before the disk: what is flushed in between is seen twice, never missed
	var stored []storedEvent
	size := 0
	err := s.view(func(tx *bolt.Tx) error {
		prefix := append([]byte(id), 0)
		c := tx.Bucket(eventsBucket).Cursor()
		for k, v := c.Seek(eventKey(id, after+1)); k != nil && len(stored) < limit && size < maxHistoryByte; k, v = c.Next() {
			if !bytes.HasPrefix(k, prefix) || len(k) != len(prefix)+8 {
				return nil
			}
			content, err := unseal(k, v)
			if err != nil {
				return err
			}
			size += len(content)
			stored = append(stored, storedEvent{skein.Seq(binary.BigEndian.Uint64(k[len(prefix):])), bytes.Clone(content)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	last := after
	if n := len(stored); n > 0 {
		last = stored[n-1].seq
	}
	for _, e := range over {
		if e.seq > last && len(stored) < limit && size < maxHistoryByte {
			stored, size = append(stored, e), size+len(e.value)
		}
	}
	return decodeEvents(stored)
}

func decodeEvents(stored []storedEvent) ([]session.Event, error) {
	events := make([]session.Event, 0, len(stored))
	for _, e := range stored {
		ev, err := decodeEvent(e.value)
		if err != nil {
			return nil, err
		}
		events = append(events, ev)
	}
	return events, nil
}

func decodeEvent(buf []byte) (session.Event, error) {
	w := &wire.Event{}
	if err := proto.Unmarshal(buf, w); err != nil {
		return session.Event{}, fmt.Errorf("%w: event: %w", errCorrupt, err)
	}
	return eventFromWire(w), nil
}

// list gives sessions in the order of their ids, those after an id, at most limit of them.
func (s *store) list(after skein.SessionID, limit int) ([]*session.State, error) {
	limit = min(limit, maxSessions)
	ids := s.overlaidIDs(after)
	err := s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(sessionsBucket).Cursor()
		n := 0
		for k, _ := c.Seek([]byte(after)); k != nil && n < limit; k, _ = c.Next() {
			if id := skein.SessionID(k); id > after {
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
		if st != nil {
			states = append(states, st)
		}
	}
	return states, nil
}

func (s *store) overlaidIDs(after skein.SessionID) []skein.SessionID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []skein.SessionID
	for _, m := range []map[skein.SessionID]*change{s.flushing, s.dirty} {
		for id := range m {
			if id > after {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
