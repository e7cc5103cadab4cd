package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

var errTransferStuck = errors.New("a transfer of leadership did not end; this node has to restart")

const (
	transferTries = 3
	// transferStuck is how long a leader may refuse proposals because of a transfer. An interrupted transfer can
	// leave it refusing for ever (hashicorp/raft issue 696); only a restart cures that.
	transferStuck = 5 * time.Second
)

// TransferLeadership hands leadership to a healthy voter and waits for the loss of it. It does nothing on a
// node that does not lead. The error is skein.CodeRefused when no other voter took over.
func (g *Group) TransferLeadership(ctx context.Context) error {
	r := g.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return nil
	}
	heirs := g.heirs(r)
	for i, id := range heirs[:min(transferTries, len(heirs))] {
		if g.transferTo(ctx, id) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("hand leadership to %s: %w", id, context.Cause(ctx))
		}
		g.log.Warn("leadership not taken", "by", id, "try", i+1)
	}
	return skein.Fault(skein.CodeRefused, "no healthy voter took over the leadership")
}

// transferTo hands leadership to one voter, and reports whether this node has lost it.
func (g *Group) transferTo(ctx context.Context, id skein.NodeID) bool {
	r := g.raft.Load()
	if r == nil {
		return false
	}
	// Its future is not waited for: an interrupted transfer never answers it.
	r.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id))
	if !g.awaitLoss(ctx, r) {
		return false
	}
	g.log.Info("leadership handed over", "to", id)
	return true
}

// heirs lists the voters that may take over, those that go on running first.
func (g *Group) heirs(r *raft.Raft) []skein.NodeID {
	staying, leaving, full := g.ranked(r)
	return slices.Concat(staying, leaving, full)
}

// ranked gives the healthy voters but this one: those that stay, those that drain, and those whose disk is full. Who
// leads fewest groups comes first; among equals each group begins with another one, so that a node which hands over
// all that it leads spreads them.
func (g *Group) ranked(r *raft.Raft) (staying, leaving, full []skein.NodeID) {
	seen := map[skein.NodeID]Candidate{}
	for _, c := range g.cfg.Peers.Candidates() {
		seen[c.Node] = c
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		id := skein.NodeID(s.ID)
		c, ok := seen[id]
		switch {
		case s.Suffrage != raft.Voter || id == g.cfg.Node || !ok || c.Gone || !c.Healthy:
		case g.space.of(id) != roomy:
			full = append(full, id)
		case c.Draining:
			leaving = append(leaving, id)
		default:
			staying = append(staying, id)
		}
	}
	for _, list := range [][]skein.NodeID{staying, leaving, full} {
		g.rotate(list)
	}
	return staying, leaving, full
}

func (g *Group) rotate(list []skein.NodeID) {
	if g.leads == nil || len(list) < 2 {
		return
	}
	at := int(g.cfg.Group) % len(list)
	turned := slices.Concat(list[at:], list[:at])
	slices.SortStableFunc(turned, func(a, b skein.NodeID) int { return cmp.Compare(g.leads(a), g.leads(b)) })
	copy(list, turned)
}

// reached reports whether a follower has confirmed an index.
func (g *Group) reached(id skein.NodeID, index uint64) bool {
	return index > 0 && g.transport.progress(raft.ServerID(id)) >= index
}

// awaitLoss waits until this node no longer leads, for as long as a transfer may take.
func (g *Group) awaitLoss(ctx context.Context, r *raft.Raft) bool {
	late := time.NewTimer(2*r.ReloadableConfig().ElectionTimeout + 200*time.Millisecond)
	defer late.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for r.State() == raft.Leader {
		select {
		case <-look.C:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// handOver gives leadership away before a stop; without an heir the others elect when this one is silent.
func (g *Group) handOver(ctx context.Context, r *raft.Raft) {
	if r.State() != raft.Leader || len(r.GetConfiguration().Configuration().Servers) == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := g.TransferLeadership(ctx); err != nil {
		g.log.Warn("stopping as leader", "err", err)
	}
}
