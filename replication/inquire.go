package replication

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// A replica that starts with state does not vote before it has greeted the other members, or a short while has passed: an
// old majority that comes back together would otherwise elect a leader before it hears that the group was recovered.
const (
	inquireFor   = 500 * time.Millisecond
	inquireEvery = 50 * time.Millisecond
)

// inquire greets the other members until each has answered, or inquireFor is over.
func (g *Group) inquire(ctx context.Context, r *raft.Raft) {
	defer g.transport.unsure.Store(false)
	if !g.transport.unsure.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, inquireFor)
	defer cancel()
	var others []skein.NodeID
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if id := skein.NodeID(s.ID); id != g.cfg.Node {
			others = append(others, id)
		}
	}
	t := time.NewTicker(inquireEvery)
	defer t.Stop()
	for {
		others = g.ungreeted(ctx, others)
		if len(others) == 0 {
			return
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// ungreeted greets nodes and gives those that did not answer.
func (g *Group) ungreeted(ctx context.Context, nodes []skein.NodeID) []skein.NodeID {
	answered := make([]bool, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() {
			conn, err := g.cfg.Peers.Dial(ctx, node, Service)
			if answered[i] = err == nil || errors.Is(err, errEpoch); err == nil {
				conn.Close()
			}
		})
	}
	all.Wait()
	var left []skein.NodeID
	for i, node := range nodes {
		if !answered[i] {
			left = append(left, node)
		}
	}
	return slices.Clip(left)
}
