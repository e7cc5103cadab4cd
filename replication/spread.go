package replication

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

const (
	spreadEvery   = time.Second
	maxReluctance = 8 // by which the wait grows after transfers that were not taken
)

// seat is the leadership of one group as one node sees it.
type seat struct {
	leader skein.NodeID   // empty: an election, or not known
	heirs  []skein.NodeID // that may lead it; known at its leader only
}

func (s seat) equal(o seat) bool { return s.leader == o.leader && slices.Equal(s.heirs, o.heirs) }

// transfer is one hand-over that evens out who leads. Of several nodes that could begin, rank others come first.
type transfer struct {
	group int
	to    skein.NodeID
	rank  int
}

// spread gives the transfer that self should make, if any: it leads two groups more than another node which may have one
// of them. That one is the node which leads fewest, the first by name among equals, and the group the lowest that it may
// lead. A difference of one stays, so nothing moves to and fro. While any group has no leader nothing moves.
func spread(self skein.NodeID, seats []seat) (transfer, bool) {
	count := map[skein.NodeID]int{}
	for _, s := range seats {
		if s.leader == "" {
			return transfer{}, false
		}
		count[s.leader]++
	}
	best := transfer{group: -1}
	for i, s := range seats {
		if s.leader != self {
			continue
		}
		for _, h := range s.heirs {
			if count[self]-count[h] < 2 {
				continue
			}
			if best.group < 0 || cmp.Or(cmp.Compare(count[h], count[best.to]), cmp.Compare(h, best.to)) < 0 {
				best = transfer{group: i, to: h}
			}
		}
	}
	if best.group < 0 {
		return transfer{}, false
	}
	for node, n := range count {
		if n > count[self] || n == count[self] && node < self {
			best.rank++
		}
	}
	return best, true
}

// balance spreads the leaders over the voters. A transfer waits until leaders and heirs have stayed the same for the
// stable period, longer where other nodes come first; after one that worked the next may follow at the next look.
func (r *Region) balance(ctx context.Context) {
	if len(r.groups) == 1 {
		return
	}
	stable := r.groups[0].cfg.Timing.Stable
	var last []seat
	var since time.Time
	commits := make([]uint64, len(r.groups))
	reluctance := 1
	t := time.NewTicker(spreadEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		now := r.seats()
		if !slices.EqualFunc(now, last, seat.equal) {
			last, since = now, time.Now()
		}
		move, ok := spread(r.cfg.Node, r.upToDate(now, commits))
		if !ok || time.Since(since) < stable*time.Duration(reluctance+move.rank) {
			continue
		}
		if !r.groups[move.group].transferTo(ctx, move.to) {
			reluctance = min(2*reluctance, maxReluctance)
			since = time.Now()
			continue
		}
		reluctance = 1
		last = slices.Clone(now)
		last[move.group] = seat{leader: move.to} // as it will look from here
	}
}

// seats tells who leads what, and for the groups that this node leads who else could.
func (r *Region) seats() []seat {
	seats := make([]seat, len(r.groups))
	drains := false
	for _, c := range r.cfg.Peers.Candidates() {
		drains = drains || c.Node == r.cfg.Node && c.Draining
	}
	for i, g := range r.groups {
		if g.Quorum() {
			seats[i].leader, _ = g.Leader()
		}
		if x := g.raft.Load(); x != nil && g.IsLeader() && !drains { // a drain moves all of them by itself
			seats[i].heirs, _, _ = g.ranked(x)
			slices.Sort(seats[i].heirs)
		}
	}
	return seats
}

// upToDate leaves out the heirs that lag by a look or more. commits are the commit indexes at the last look; they are
// brought up to the present ones.
func (r *Region) upToDate(seats []seat, commits []uint64) []seat {
	out := slices.Clone(seats)
	for i, g := range r.groups {
		out[i].heirs = slices.DeleteFunc(slices.Clone(seats[i].heirs), func(h skein.NodeID) bool { return !g.reached(h, commits[i]) })
		if x := g.raft.Load(); x != nil {
			commits[i] = x.CommitIndex()
		}
	}
	return out
}
