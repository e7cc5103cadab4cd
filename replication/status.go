package replication

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// Status is how a group looks from one node.
type Status struct {
	Role   string // leader, follower, candidate, spare (a non-voter), none (in no configuration)
	Leader skein.NodeID
	Term   uint64

	Applied uint64 // log index that the state machine has applied
	Durable uint64 // log index that the state on disk has
	Commit  uint64 // log index that this node knows to be committed

	Voters, Spares []skein.NodeID // as the local replica knows them; empty with role none
	Sessions       int            // whose text is kept, open and closed
	Closed         int            // of them
	Purged, Erased int            // whose text was deleted: by age, by an operator
	Calendar       time.Time      // the group's wall time; zero while it has none
	OpenTurns      int
	DeadLetters    int // in the local replica

	// The present timeouts: silence before a follower calls an election, how long a candidate waits, silence of a
	// majority before a leader steps down.
	Heartbeat, Election, Lease time.Duration

	SurvivesZone bool // a majority of the voters stays when any one zone is lost
	Fenced       bool // this member lost its state, or set it aside, and does not vote until it has caught up
	DiskHung     bool // a write to the log has run for more than two seconds

	DiskFree, DiskTotal uint64 // bytes; 0, 0 where they are not known
	// DiskMark is "soft" when under 15 % and under 1 GiB of the disk are left: a leader takes no new sessions and
	// turns. "hard" is under 5 % and 256 MiB: it also hands leadership to a voter with more room. Otherwise "".
	DiskMark string
}

// Status tells how the group looks from here.
func (g *Group) Status() Status {
	at := g.disk.store.mark()
	leader, _ := g.Leader()
	s := Status{
		Role: "none", Leader: leader, Applied: at.index, Durable: g.disk.store.durableIndex(),
		Sessions: int(at.sessions), Closed: int(at.closed), Purged: int(at.purged), Erased: int(at.erased), Calendar: at.calendar.Time(),
		OpenTurns: g.disk.store.openCount(), DeadLetters: g.disk.store.letterCount(), DiskHung: g.watched.hung(),
	}
	var mark spaceMark
	s.DiskFree, s.DiskTotal, mark = g.space.get()
	s.DiskMark = mark.String()
	r := g.raft.Load()
	if r == nil {
		return s
	}
	s.Term, s.Commit = r.CurrentTerm(), r.CommitIndex()
	s.Heartbeat = time.Duration(g.heartbeat.Load())
	s.Election = max(s.Heartbeat, g.cfg.Timing.Election)
	s.Lease = g.cfg.Timing.Lease + time.Duration(g.transport.patience.Load())
	member := false
	for _, x := range r.GetConfiguration().Configuration().Servers {
		voter := x.Suffrage == raft.Voter
		if id := skein.NodeID(x.ID); voter {
			s.Voters = append(s.Voters, id)
		} else {
			s.Spares = append(s.Spares, id)
		}
		if x.ID == raft.ServerID(g.cfg.Node) {
			s.Role = role(r.State(), voter)
			member = true
		}
	}
	s.Fenced = (member || g.founder()) && g.transport.fenced.Load()
	s.SurvivesZone = g.survivesZone(s.Voters)
	return s
}

func role(state raft.RaftState, voter bool) string {
	switch {
	case state == raft.Leader:
		return "leader"
	case !voter:
		return "spare"
	case state == raft.Candidate:
		return "candidate"
	}
	return "follower"
}

// survivesZone judges by the voters, or, where this node knows none, by the zones of the region.
func (g *Group) survivesZone(voters []skein.NodeID) bool {
	zones := map[skein.Zone]int{}
	for _, c := range g.cfg.Peers.Candidates() {
		switch {
		case slices.Contains(voters, c.Node):
			zones[c.Zone]++
		case len(voters) == 0 && !c.Gone:
			zones[c.Zone] = 1
		}
	}
	return survivesZone(zones)
}

// announce says once, when the first group is up, whether the region survives the loss of a zone.
func (g *Group) announce(ctx context.Context) {
	if g.cfg.Group != 0 {
		return
	}
	t := time.NewTicker(reconcileEvery)
	defer t.Stop()
	for since := time.Now(); ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		s := g.Status()
		if s.SurvivesZone {
			return
		}
		if (s.Leader != "" && g.listed(s.Voters)) || time.Since(since) > g.cfg.Timing.Stable {
			g.log.Warn("this region does not survive the loss of a zone: it needs three zones with a voter in each",
				"region", string(g.cfg.Region), "voters", s.Voters)
			return
		}
	}
}

// listed reports whether gossip knows every node.
func (g *Group) listed(nodes []skein.NodeID) bool {
	known := g.cfg.Peers.Candidates()
	for _, id := range nodes {
		if !slices.ContainsFunc(known, func(c Candidate) bool { return c.Node == id }) {
			return false
		}
	}
	return len(nodes) > 0
}
