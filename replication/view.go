package replication

import (
	"slices"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Clock gives the group's committed time as this replica has applied it.
func (g *Group) Clock() session.Committed { return g.disk.store.mark().clock }

// Hash gives the rolling hash of the applied events and the index at which it stands. Replicas with equal
// indexes have equal hashes.
func (g *Group) Hash() (index uint64, hash [32]byte) {
	at := g.disk.store.mark()
	return at.index, at.hash
}

// OpenTurn is a turn that waits for its reply.
type OpenTurn struct {
	Session skein.SessionID
	Subject skein.Subject
	Turn    session.Turn
	Seq     skein.Seq // of the session
}

// OpenTurns lists the open turns of the local replica, ordered by session.
func (g *Group) OpenTurns() []OpenTurn {
	states := g.disk.store.openStates()
	turns := make([]OpenTurn, 0, len(states))
	for id, st := range states {
		if t, ok := st.OpenTurn(); ok {
			turns = append(turns, OpenTurn{Session: id, Subject: st.Subject, Turn: *t, Seq: st.Seq})
		}
	}
	slices.SortFunc(turns, func(a, b OpenTurn) int { return compareIDs(a.Session, b.Session) })
	return turns
}

// Sessions lists sessions of the local replica in the order of their ids, those after an id, at most limit
// and at most 1000.
func (g *Group) Sessions(after skein.SessionID, limit int) ([]*session.State, error) {
	return g.disk.store.list(after, limit)
}
