package replication

import (
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// maxLetters bounds one page of dead letters.
const maxLetters = 1000

// DeadLetter is a turn that used up its attempts and that no operator has retried or dropped.
type DeadLetter struct {
	Session skein.SessionID
	Subject skein.Subject
	Turn    skein.TurnID
	Attempt skein.Attempt // with which it died
	Text    string        // what the client had said
	Reason  string        // of the last failure
	Fails   uint32        // failures since it was accepted, or retried
	Place   skein.Place   // of the last runner
	At      time.Time     // when it was accepted
	DiedAt  time.Time
	Last    bool // no later turn is behind it: it can be retried
}

// DeadLetters lists the dead letters of the local replica in the order of their sessions, of those after an id. A page
// holds whole sessions and about limit letters: at most that, or one session's, and at most 1000. next is where the
// following page begins, empty at the end; a page that changed while it was read can be short, also empty.
func (g *Group) DeadLetters(after skein.SessionID, limit int) (page []DeadLetter, next skein.SessionID, err error) {
	if limit <= 0 {
		return nil, "", skein.Fault(skein.CodeMalformed, "limit %d: want 1 to %d", limit, maxLetters)
	}
	return g.disk.store.deadLetters(after, min(limit, maxLetters))
}

func (s *store) deadLetters(after skein.SessionID, limit int) (page []DeadLetter, next skein.SessionID, err error) {
	ids, all, err := s.letterIDs(after, limit)
	if err != nil {
		return nil, "", err
	}
	last := after
	for i, id := range ids {
		st, err := s.get(id)
		if err != nil {
			return nil, "", err
		}
		n := letters(st)
		if len(page) > 0 && len(page)+n > limit {
			return page, last, nil
		}
		if page, last = appendLetters(page, st), id; len(page) >= limit && (i+1 < len(ids) || !all) {
			return page, last, nil
		}
	}
	if all {
		last = ""
	}
	return page, last, nil
}

// letterIDs gives sessions that have dead letters, or had some a moment ago: those after an id, in order, enough for
// limit letters; all says that there are no others behind them.
func (s *store) letterIDs(after skein.SessionID, limit int) (ids []skein.SessionID, all bool, err error) {
	fresh, stale := s.overlaidLetters(after)
	want := limit + stale + 1 // each overlaid session without letters may still stand in the bucket
	found := 0
	err = s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(lettersBucket).Cursor()
		for k, _ := c.Seek([]byte(after)); k != nil && found < want; k, _ = c.Next() {
			if id := skein.SessionID(k); id > after {
				ids = append(ids, id)
				found++
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	if found == want { // what the bucket has behind the last one is not known here: those of memory wait for it too
		bound := ids[found-1]
		fresh = slices.DeleteFunc(fresh, func(id skein.SessionID) bool { return id > bound })
	}
	ids = append(ids, fresh...)
	slices.Sort(ids)
	return slices.Compact(ids), found < want, nil
}

// overlaidLetters gives the sessions after an id that the overlay holds with dead letters, and counts those without.
func (s *store) overlaidLetters(after skein.SessionID) (fresh []skein.SessionID, stale int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range []map[skein.SessionID]*change{s.flushing, s.dirty} {
		for id, c := range m {
			switch {
			case id <= after:
			case letters(c.state) > 0:
				fresh = append(fresh, id)
			default:
				stale++
			}
		}
	}
	return fresh, stale
}

func appendLetters(page []DeadLetter, st *session.State) []DeadLetter {
	if st == nil {
		return page
	}
	for i := range st.Turns {
		t := st.Turns[i]
		if !t.Letter() {
			continue
		}
		page = append(page, DeadLetter{
			Session: st.ID, Subject: st.Subject, Turn: t.ID, Attempt: t.Attempt, Text: t.Text, Reason: t.Reason, Fails: t.Failures,
			Place: t.Place, At: t.At, DiedAt: t.DoneAt, Last: i == len(st.Turns)-1,
		})
	}
	return page
}

func (s *store) letterCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.letters
}

// letters is 0 for no session.
func letters(st *session.State) int {
	if st == nil {
		return 0
	}
	return st.Letters()
}

func writeLetters(tx *bolt.Tx, id []byte, n int) error {
	if n == 0 {
		return tx.Bucket(lettersBucket).Delete(id)
	}
	return tx.Bucket(lettersBucket).Put(id, []byte{byte(n)}) // at most session.KeptTurns
}

func countLetters(tx *bolt.Tx) int {
	n := 0
	c := tx.Bucket(lettersBucket).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(v) == 1 {
			n += int(v[0])
		}
	}
	return n
}
