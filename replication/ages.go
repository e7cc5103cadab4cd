package replication

import (
	"bytes"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// The ages bucket has each session that is not gone by what is to happen to it next and by the day, of the calendar, of its last
// event. It is written when that day changes, so a turn costs nothing most of the time, and what is due is at its front: nobody
// looks through all sessions.

// What a session waits for.
const (
	ageOpen     = 'o' // to be closed
	ageClosed   = 'c' // to be archived, or purged
	ageArchived = 'd' // to be purged
)

var ageClasses = [...]byte{ageOpen, ageClosed, ageArchived}

const day = session.Calendar(24 * time.Hour / time.Millisecond)

// ageOf is where the ages bucket has a session; the zero value is nowhere.
type ageOf struct {
	class byte
	day   uint32
}

func ageOfState(phase session.Phase, archived bool, last session.Calendar) ageOf {
	a := ageOf{class: ageOpen, day: dayOf(last)}
	switch {
	case phase.Gone():
		return ageOf{}
	case archived:
		a.class = ageArchived
	case phase == session.PhaseClosed:
		a.class = ageClosed
	}
	return a
}

// dayOf counts days since 1970.
func dayOf(c session.Calendar) uint32 { return uint32(min(max(c/day, 0), 1<<32-1)) }

func (a ageOf) key(id skein.SessionID) []byte {
	key := make([]byte, 0, 5+len(id))
	return append(binary.BigEndian.AppendUint32(append(key, a.class), a.day), id...)
}

// writeAge moves a session to where it belongs.
func writeAge(tx *bolt.Tx, id skein.SessionID, was, is ageOf) error {
	if was == is {
		return nil
	}
	b := tx.Bucket(agesBucket)
	if was != (ageOf{}) {
		if err := b.Delete(was.key(id)); err != nil {
			return err
		}
	}
	if is == (ageOf{}) {
		return nil
	}
	return b.Put(is.key(id), []byte{})
}

// due gives sessions of a class whose last event is at least age ago, at most sweepBatch, those behind a key. next is the key
// behind which others may be, nil at the end.
func (s *store) due(class byte, now session.Now, age time.Duration, after []byte) (page []DueSession, next []byte, err error) {
	until := dayOf(now.Calendar - session.Calendar(age/time.Millisecond))
	if dayOf(now.First) > until {
		return nil, nil, nil // what is from before the calendar counts from its beginning
	}
	err = s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(agesBucket).Cursor()
		from := []byte{class}
		if bytes.Compare(after, from) > 0 {
			from = after
		}
		k, _ := c.Seek(from)
		for looked := 0; k != nil && k[0] == class && len(k) > 5; k, _ = c.Next() {
			if bytes.Equal(k, after) {
				continue
			}
			if binary.BigEndian.Uint32(k[1:]) > until {
				return nil
			}
			d, err := s.dueSession(tx, skein.SessionID(k[5:]), class)
			if err != nil {
				return err
			}
			if d.Session != "" && now.Age(session.CalendarOf(d.Last)) >= age {
				page = append(page, d)
			}
			if looked++; looked == sweepBatch {
				next = bytes.Clone(k)
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return page, next, nil
}

// dueSession gives a session as it stands now, an empty one when it has left its class or has an open turn.
func (s *store) dueSession(tx *bolt.Tx, id skein.SessionID, class byte) (DueSession, error) {
	if st := s.cached(id); st != nil {
		_, open := st.OpenTurn()
		if ageOfState(st.Phase, st.Archived, st.Last).class != class || open {
			return DueSession{}, nil
		}
		return DueSession{st.ID, st.Subject, st.Seq, st.Last.Time()}, nil
	}
	w, err := readHeader(tx, id)
	if err != nil || w == nil {
		return DueSession{}, err
	}
	if tx.Bucket(openBucket).Get([]byte(id)) != nil {
		return DueSession{}, nil
	}
	return DueSession{id, skein.Subject(w.Subject), skein.Seq(w.Seq), session.Calendar(w.LastMs).Time()}, nil
}
