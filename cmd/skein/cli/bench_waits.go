package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// settled waits until another node knows a leader of each group that is not the one restarted, and gives the sum of their terms.
func (b *benchRestart) settled(ctx context.Context) (term uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, restartLimit)
	defer cancel()
	for {
		var st admin.Status
		err := b.operator.any(ctx, b.other, "/debug/status", &st)
		if err == nil && !slices.ContainsFunc(st.Groups, func(g admin.GroupStatus) bool { return g.Leader == "" || g.Leader == b.node.ID }) {
			return terms(st.Groups), nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("the others have no leader: %w", errors.Join(err, ctx.Err()))
		}
		pause(ctx, benchRestartPoll)
	}
}

func terms(groups []admin.GroupStatus) (sum uint64) {
	for _, g := range groups {
		sum += g.Term
	}
	return sum
}

// other holds for the nodes of the same region that are not the one restarted.
func (b *benchRestart) other(n meshfile.Node) bool {
	return n.ID != b.node.ID && n.Region == b.node.Region
}

// ready waits until the node says that it is ready.
func (b *benchRestart) ready(ctx context.Context) error {
	return b.poll(ctx, func(st *admin.Status) bool { return st.Ready == "ok" })
}

func (b *benchRestart) poll(ctx context.Context, done func(*admin.Status) bool) error {
	for {
		var st admin.Status
		err := b.operator.ask(ctx, b.node, http.MethodGet, "/debug/status", &st)
		if err == nil && done(&st) {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		pause(ctx, benchRestartPoll)
	}
}

// serving opens a session through the node, and nowhere else, and waits for the reply to a turn.
func (b *benchRestart) serving(ctx context.Context) error {
	cfg, err := clientConfig(b.operator.mesh, b.node.Region)
	if err != nil {
		return err
	}
	cfg.Nodes = slices.DeleteFunc(cfg.Nodes, func(n client.Node) bool { return n.ID != b.node.ID })
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.Open(ctx, "bench-"+skein.RandomName(), client.Options{})
	if err != nil {
		return err
	}
	_, err = benchTurn(ctx, s, benchMessage(0, 0))
	return err
}

// caughtUp waits until the node has applied what the leader of each group had applied before the question.
func (b *benchRestart) caughtUp(ctx context.Context) error {
	var had []uint64
	return b.poll(ctx, func(st *admin.Status) bool {
		done := reached(st.Groups, had)
		had = b.applied(ctx, st.Groups)
		return done
	})
}

// reached reports whether groups hold sessions and have applied all of had, of which nil is not known.
func reached(groups []admin.GroupStatus, had []uint64) bool {
	if len(had) != len(groups) || sum(groups).Sessions == 0 {
		return false
	}
	for i, g := range groups {
		if had[i] == 0 || g.Applied < had[i] {
			return false
		}
	}
	return true
}

// applied asks the leader of each group what it has applied, nil when one does not say.
func (b *benchRestart) applied(ctx context.Context, groups []admin.GroupStatus) []uint64 {
	had, asked := make([]uint64, len(groups)), map[skein.NodeID]admin.Status{}
	for i, g := range groups {
		lead, known := asked[g.Leader]
		if !known {
			if err := b.operator.any(ctx, func(n meshfile.Node) bool { return n.ID == g.Leader }, "/debug/status", &lead); err != nil {
				return nil
			}
			asked[g.Leader] = lead
		}
		if i >= len(lead.Groups) {
			return nil
		}
		had[i] = lead.Groups[i].Applied
	}
	return had
}
