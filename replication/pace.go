package replication

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// Limits of the election timeout that follows disk, network and elections.
const (
	maxHeartbeat   = 2 * time.Second // no longer: a dead leader has to be replaced
	syncFactor     = 5               // silence that a follower bears, in syncs at the 99.9th percentile
	rttFactor      = 10              // likewise in round trips
	minSyncs       = 1000            // fewer say nothing about the 99.9th percentile
	paceEvery      = time.Second
	electionWindow = time.Minute
	manyElections  = 3 // in electionWindow, and the timeout is doubled
	quietFor       = 2 * time.Minute
)

// pacer decides how long a follower bears the silence of its leader. It raises the timeout at once, when syncs or
// round trips are slow or after many elections, and halves it after quiet minutes, never below what those call for.
// One goroutine owns it.
type pacer struct {
	base, present time.Duration
	term          uint64
	elections     []time.Time // the latest ones, at most manyElections
	calm          time.Time   // nothing called for more since
}

func newPacer(base time.Duration, now time.Time) *pacer {
	return &pacer{base: base, present: base, calm: now}
}

// see counts an election when the term has moved on. The first term seen is no news.
func (p *pacer) see(term uint64, now time.Time) {
	known := p.term
	p.term = max(term, known)
	if known == 0 || term <= known {
		return
	}
	p.calm = now
	p.elections = append(p.elections, now)
	if len(p.elections) < manyElections {
		return
	}
	if now.Sub(p.elections[0]) <= electionWindow {
		p.present, p.elections = min(2*p.present, maxHeartbeat), nil
		return
	}
	p.elections = p.elections[1:]
}

// timeout gives the heartbeat timeout for now; sync is the 99.9th percentile of syncs, rtt a round trip to the
// farthest voter, 0 where they are not known. The configured timeout is the least, also when it is over maxHeartbeat.
func (p *pacer) timeout(sync, rtt time.Duration, now time.Time) time.Duration {
	floor := max(p.base, min(maxHeartbeat, max(syncFactor*sync, rttFactor*rtt)))
	switch {
	case floor >= p.present:
		p.present, p.calm = floor, now
	case now.Sub(p.calm) >= quietFor:
		p.present, p.calm = max(floor, p.present/2), now
	}
	return p.present
}

// pace keeps the library's timeouts in step with the pacer. The library cannot change its leader lease while it
// runs; the transport stretches it instead.
func (g *Group) pace(ctx context.Context, r *raft.Raft) {
	p := newPacer(g.cfg.Timing.Heartbeat, time.Now())
	t := time.NewTicker(paceEvery)
	defer t.Stop()
	for {
		changed := g.LeaderChanged()
		p.see(r.CurrentTerm(), time.Now())
		want := p.timeout(g.watched.syncs.p999(time.Now()), g.farthest(r), time.Now())
		g.setTimeouts(r, want)
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// setTimeouts takes up a heartbeat timeout. The library derives the pause between a leader's heartbeats from it, which
// has to fit the lease; a leader bears nobody's silence, so it keeps the configured one and takes up the other
// when it no longer leads.
func (g *Group) setTimeouts(r *raft.Raft, heartbeat time.Duration) {
	if was := time.Duration(g.heartbeat.Swap(int64(heartbeat))); was != heartbeat {
		g.log.Info("election timeout changed", "from", was, "to", heartbeat)
		g.transport.patience.Store(max(0, int64(leaseFor(heartbeat)-g.cfg.Timing.Lease)))
	}
	g.reload(r, func(c *raft.ReloadableConfig) {
		c.HeartbeatTimeout, c.ElectionTimeout = heartbeat, max(heartbeat, g.cfg.Timing.Election)
		if r.State() == raft.Leader {
			c.HeartbeatTimeout = g.cfg.Timing.Heartbeat
		}
	})
}

// leaseFor gives the leader lease that goes with a heartbeat timeout.
func leaseFor(heartbeat time.Duration) time.Duration { return heartbeat * 2 / 3 }

// farthest gives the round trip to the farthest voter, 0 while the mesh knows none.
func (g *Group) farthest(r *raft.Raft) time.Duration {
	var most time.Duration
	if g.cfg.RTT == nil {
		return 0
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter && s.ID != raft.ServerID(g.cfg.Node) {
			most = max(most, g.cfg.RTT(skein.NodeID(s.ID)))
		}
	}
	return most
}

// syncTimes counts how long writes of the log took, in the present minute and the one before.
type syncTimes struct {
	mu     sync.Mutex // guards the fields below
	now    [syncBuckets]uint32
	before [syncBuckets]uint32
	began  time.Time // of the present minute
}

// Bucket i holds times up to syncLeast << (i/2), half as much again for odd i; the last holds all that is longer.
const (
	syncLeast   = time.Millisecond
	syncBuckets = 24
)

func syncBound(i int) time.Duration {
	d := syncLeast << (i / 2)
	return d + d/2*time.Duration(i%2)
}

func (s *syncTimes) add(took time.Duration, at time.Time) {
	i := 0
	for i < syncBuckets-1 && syncBound(i) < took {
		i++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turnLocked(at)
	s.now[i]++
}

// turnLocked begins a new minute when it is time.
func (s *syncTimes) turnLocked(at time.Time) {
	switch age := at.Sub(s.began); {
	case age < time.Minute:
	case age < 2*time.Minute:
		s.before, s.now, s.began = s.now, [syncBuckets]uint32{}, at
	default:
		s.before, s.now, s.began = [syncBuckets]uint32{}, [syncBuckets]uint32{}, at
	}
}

// p999 gives the time that one write in a thousand exceeds, 0 when there were too few.
func (s *syncTimes) p999(at time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turnLocked(at)
	var total uint64
	for i := range s.now {
		total += uint64(s.now[i]) + uint64(s.before[i])
	}
	if total < minSyncs {
		return 0
	}
	over := total / 1000
	for i := syncBuckets - 1; i > 0; i-- {
		n := uint64(s.now[i]) + uint64(s.before[i])
		if n > over {
			return syncBound(i)
		}
		over -= n
	}
	return syncBound(0)
}
