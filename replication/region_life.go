package replication

import (
	"context"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// ReadFresh is Group.ReadFresh of the session's group.
func (r *Region) ReadFresh(ctx context.Context, id skein.SessionID, f session.Freshness) (*session.State, error) {
	return r.Of(id).ReadFresh(ctx, id, f)
}

// Query asks what was said in all groups, see queryGroups.
func (r *Region) Query(ctx context.Context, q session.Query) (session.Findings, error) {
	return queryGroups(ctx, r.groups, q)
}

// EraseSubject erases all sessions of a subject, and takes its name off those that were purged before. It gives how many there were.
// After an error some may be left: give the order again.
func (r *Region) EraseSubject(ctx context.Context, subject skein.Subject) (erased int, err error) {
	for _, g := range r.groups {
		n, err := g.eraseSubject(ctx, subject)
		erased += n
		if err != nil {
			return erased, err
		}
	}
	return erased, nil
}

// eraseSubject goes through the list until it is empty from end to end: a session may be opened meanwhile.
func (g *Group) eraseSubject(ctx context.Context, subject skein.Subject) (erased int, err error) {
	for after, before := "", 0; ; {
		ids, next, err := g.SessionsOf(ctx, subject, after, sweepBatch)
		if err != nil {
			return erased, err
		}
		n, err := g.erase(ctx, ids)
		erased += n
		if err != nil || next == "" && erased == before {
			return erased, err
		}
		if after = next; next == "" {
			before = erased
		}
	}
}

// erase erases sessions, and gives how many of them were there.
func (g *Group) erase(ctx context.Context, ids []skein.SessionID) (erased int, err error) {
	commands := make([]session.Command, len(ids))
	for i, id := range ids {
		commands[i] = session.Command{Session: id, At: time.Now().Truncate(time.Millisecond), Body: session.Erase{}}
	}
	results, err := g.Propose(ctx, commands...)
	if err != nil {
		return 0, err
	}
	for i := range results {
		if results[i].Err != nil {
			return erased, results[i].Err
		}
		if !results[i].Duplicate {
			erased++
		}
	}
	return erased, nil
}
