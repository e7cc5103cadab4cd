package replication

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

// TestLinksToNodesThatAreNoMore: names of nodes come and go, and what is kept for them goes too.
func TestLinksToNodesThatAreNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1")
		defer c.stopAll()
		c.start("a1", "d0")
		lead := c.leader()
		p := newLinks(epochPeers{peers{c.fabric, "d0"}, c.nodes["d0"].Group})
		defer p.close()
		ask := func(node skein.NodeID) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			req := request{id: p.ids.Add(1)}
			_, err := p.call(ctx, linkKey{node, streamProposals}, call{req.id, req.appendTo}, nil)
			return err
		}
		if err := ask(lead.cfg.Node); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			gone := skein.NodeID(fmt.Sprintf("x%d", i))
			c.start(gone)
			if err := ask(gone); err != nil {
				t.Errorf("ask %s: %v", gone, err)
			}
			c.kill(gone)
			c.fabric.forget(gone)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.open); n > 2 {
			t.Errorf("slots after 20 nodes came and went: got %d, want the leader's and the last one", n)
		}
		if p.open[linkKey{lead.cfg.Node, streamProposals}] == nil {
			t.Error("the link to a node that is there is dropped")
		}
	})
}
