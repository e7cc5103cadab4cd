package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

const (
	reconcileEvery = time.Second
	changeTimeout  = 2 * time.Second // of one change of the configuration to be taken up
	unlistedFactor = 6               // a member that gossip does not know is lost after so many stable periods
)

// census remembers since when nodes are well or gone, as seen by this leader. One goroutine owns it.
type census struct {
	stable time.Duration
	seen   map[skein.NodeID]sighting
	commit uint64 // the leader's commit index at the last look: who has reached it lags by less than a look
}

type sighting struct {
	up, gone bool
	listed   bool
	since    time.Time
}

// look joins the configuration with what gossip says into what plan wants to know.
func (c *census) look(servers []raft.Server, candidates []Candidate, progress func(raft.ServerID) uint64, now time.Time) []site {
	sites := map[skein.NodeID]site{}
	listed := map[skein.NodeID]bool{}
	for _, x := range candidates {
		listed[x.Node] = true
		sites[x.Node] = site{node: x.Node, zone: x.Zone, draining: x.Draining, up: x.Healthy && !x.Gone, health: c.judge(x.Node, sighting{up: x.Healthy && !x.Gone, gone: x.Gone, listed: true}, now)}
	}
	for _, s := range servers {
		id := skein.NodeID(s.ID)
		if !listed[id] {
			sites[id] = site{node: id, health: c.judge(id, sighting{gone: true}, now)}
		}
		x := sites[id]
		x.member, x.voter = true, s.Suffrage == raft.Voter
		x.caughtUp = c.commit > 0 && progress(s.ID) >= c.commit
		sites[id] = x
	}
	for id := range c.seen {
		if _, ok := sites[id]; !ok {
			delete(c.seen, id)
		}
	}
	list := make([]site, 0, len(sites))
	for _, s := range sites {
		list = append(list, s)
	}
	return list
}

func (c *census) judge(id skein.NodeID, is sighting, now time.Time) health {
	was, ok := c.seen[id]
	if !ok || was.up != is.up || was.gone != is.gone || was.listed != is.listed {
		is.since = now
		c.seen[id] = is
		was = is
	}
	period := c.stable
	if !was.listed {
		period *= unlistedFactor
	}
	switch lasted := now.Sub(was.since) >= period; {
	case was.up && lasted:
		return well
	case was.gone && lasted:
		return lost
	}
	return unsure
}

// reconcile moves the membership one step at a time while ctx, which ends with the leadership, lasts.
func (g *Group) reconcile(ctx context.Context, r *raft.Raft) {
	c := &census{stable: g.cfg.Timing.Stable, seen: map[skein.NodeID]sighting{}}
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		servers := r.GetConfiguration().Configuration().Servers
		sites := c.look(servers, g.cfg.Peers.Candidates(), g.transport.progress, time.Now())
		for i := range sites {
			if sites[i].node == g.cfg.Node {
				sites[i].caughtUp, sites[i].health, sites[i].up = true, well, true // it answers: it runs
				if sites[i].zone == "" {
					sites[i].zone = g.cfg.Zone
				}
			}
		}
		c.commit = r.CommitIndex()
		if s := plan(sites, g.cfg.Node); s.action != stay && ctx.Err() == nil {
			g.carryOut(r, s)
		}
	}
}

// carryOut makes one change and waits for its commit. Only this loop changes the configuration, and only while
// this node leads, so the step still fits.
func (g *Group) carryOut(r *raft.Raft, s step) {
	id, addr := raft.ServerID(s.node), raft.ServerAddress(s.node)
	var f raft.IndexFuture
	var what string
	switch s.action {
	case add:
		f, what = r.AddNonvoter(id, addr, 0, changeTimeout), "add spare"
	case promote:
		f, what = r.AddVoter(id, addr, 0, changeTimeout), "promote"
	case demote:
		f, what = r.DemoteVoter(id, 0, changeTimeout), "demote"
	default:
		f, what = r.RemoveServer(id, 0, changeTimeout), "remove"
	}
	if err := f.Error(); err != nil {
		g.log.Info("membership step not taken", "step", what, "node", s.node, "err", err)
		return
	}
	g.log.Info(fmt.Sprintf("membership: %s %s", what, s.node), "group", g.cfg.Group)
}
