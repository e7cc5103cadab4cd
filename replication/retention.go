package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Retention says how long sessions are kept. Ages are counted in the group's calendar from a session's last event. The
// leader's counts, so every node should have the same.
type Retention struct {
	CloseAfter time.Duration // an idle session is closed; 0: never
	Keep       time.Duration // the text of a closed one is deleted; 0: never
	// Archived keeps the text of a closed session until session.Archive has said that it is in the archive.
	Archived bool
}

const (
	sweepBatch = 64          // sessions of one entry
	sweepPause = time.Second // between two entries
	sweepRest  = time.Minute // when nothing is due
)

// retain closes and purges what is due while this node leads. A successor goes on: what is due stands in an index of the state.
func (g *Group) retain(ctx context.Context) {
	rest := time.NewTimer(sweepPause)
	defer rest.Stop()
	s := sweep{store: g.disk.store, rules: g.cfg.Retention, propose: g.retire}
	for {
		select {
		case <-rest.C:
		case <-ctx.Done():
			return
		}
		busy, err := s.step(ctx)
		if err != nil && !errors.Is(err, errNotLeader) && ctx.Err() == nil {
			g.log.Warn("sessions that are due are not closed or purged", "err", err)
		}
		if busy {
			rest.Reset(sweepPause)
		} else {
			rest.Reset(min(sweepRest, g.cfg.Timing.Calendar))
		}
	}
}

// retire proposes commands in one entry. What has moved on meanwhile refuses its own.
func (g *Group) retire(ctx context.Context, commands []session.Command) error {
	a, err := newAttempted(commands)
	if err == nil {
		_, err = g.submit(ctx, a.encoded, a.size)
	}
	return err
}

// sweep goes through what is due. A pass goes on behind sessions that it cannot have yet, such as one that is in use again, so
// that they hold up nobody.
type sweep struct {
	store   *store
	rules   Retention
	propose func(context.Context, []session.Command) error
	after   [len(ageClasses)][]byte // key behind which a class goes on; nil: at its start
}

// step proposes the next entry of each class; busy says that there is more.
func (s *sweep) step(ctx context.Context) (busy bool, err error) {
	now := s.store.mark().now()
	for i, class := range ageClasses {
		age, body := s.rules.of(class)
		if age <= 0 || now.Calendar == 0 {
			continue
		}
		due, next, err := s.store.due(class, now, age, s.after[i])
		if err != nil {
			return false, err
		}
		s.after[i] = next
		busy = busy || next != nil
		commands := make([]session.Command, len(due))
		for i, d := range due {
			commands[i] = session.Command{Session: d.Session, Expect: d.Seq, At: now.Calendar.Time(), Body: body}
		}
		if len(commands) == 0 {
			continue
		}
		if err := s.propose(ctx, commands); err != nil {
			return false, fmt.Errorf("%d sessions: %w", len(commands), err)
		}
	}
	return busy, nil
}

// of gives after what age something is done with the sessions of a class, 0 for never, and what.
func (r Retention) of(class byte) (age time.Duration, body session.Body) {
	switch class {
	case ageOpen:
		return r.CloseAfter, session.Close{Reason: "idle"}
	case ageClosed:
		if r.Archived {
			return 0, nil
		}
	}
	return r.Keep, session.Purge{MinAge: r.Keep, Archived: r.Archived}
}

// DueSession is a closed session that something is to be done with.
type DueSession struct {
	Session skein.SessionID
	Subject skein.Subject
	Seq     skein.Seq // pass it as Expect, so that what happens in between wins
	Last    time.Time // of its last event, by the group's calendar
}

// Unarchived lists closed sessions of the local replica that no archive has and whose last event is at least age ago, by the day of
// that event and then by id. A page has at most 64; next is what to pass as after for the following one, empty at the end.
func (g *Group) Unarchived(age time.Duration, after string) (page []DueSession, next string, err error) {
	due, more, err := g.disk.store.due(ageClosed, g.disk.store.mark().now(), age, []byte(after))
	return due, string(more), err
}
