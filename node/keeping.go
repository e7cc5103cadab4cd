package node

import (
	"context"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/session"
)

// Retention says how long sessions are kept; every node of a region should have the same. Ages are counted from a session's last
// event, by the region's own calendar.
type Retention struct {
	CloseAfter time.Duration // an idle session is closed; 0: 30 days
	Keep       time.Duration // the text of a closed session is deleted; 0: 90 days
}

// Defaults of Retention.
const (
	defaultCloseAfter = 30 * 24 * time.Hour
	defaultKeep       = 90 * 24 * time.Hour
)

func (r Retention) rules(archived bool) replication.Retention {
	rules := replication.Retention{CloseAfter: r.CloseAfter, Keep: r.Keep, Archived: archived}
	if rules.CloseAfter == 0 {
		rules.CloseAfter = defaultCloseAfter
	}
	if rules.Keep == 0 {
		rules.Keep = defaultKeep
	}
	return rules
}

// keeping ends sessions for operators, and tells what they said.
type keeping struct{ n *Node }

// Said satisfies admin.Keeping.
func (k keeping) Said(ctx context.Context, q session.Query) (session.Findings, error) {
	began := time.Now()
	found, err := k.n.region.Query(ctx, q)
	if err == nil {
		k.n.queries.Since(began)
	}
	return found, err
}

// Close satisfies admin.Keeping.
func (k keeping) Close(ctx context.Context, id skein.SessionID, expect skein.Seq) (admin.Ended, error) {
	return k.end(ctx, session.Command{Session: id, Expect: expect, Body: session.Close{Reason: "operator"}})
}

// Erase satisfies admin.Keeping.
func (k keeping) Erase(ctx context.Context, id skein.SessionID) (admin.Ended, error) {
	return k.end(ctx, session.Command{Session: id, Body: session.Erase{}})
}

func (k keeping) end(ctx context.Context, cmd session.Command) (admin.Ended, error) {
	if region, _ := cmd.Session.Split(); region != k.n.cfg.Region {
		return admin.Ended{}, skein.Fault(skein.CodeRefused, "%s is at home in region %s: ask a node there", cmd.Session, region)
	}
	cmd.At = time.Now().Truncate(time.Millisecond)
	res, err := k.n.region.Propose(ctx, cmd)
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return admin.Ended{}, err
	}
	return admin.Ended{Session: cmd.Session, Phase: res[0].State.Phase.String(), Known: res[0].Duplicate}, nil
}

// EraseSubject satisfies admin.Keeping.
func (k keeping) EraseSubject(ctx context.Context, subject skein.Subject) (int, error) {
	return k.n.region.EraseSubject(ctx, subject)
}
