package replication

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

const (
	quorumFresh = time.Second             // how old the last word of a leader may be
	searchEvery = 500 * time.Millisecond  // how often a node without a replica asks who leads
	searchFresh = 1200 * time.Millisecond // how long such an answer holds: clients are kept at this node meanwhile
)

func compareIDs(a, b skein.SessionID) int { return strings.Compare(string(a), string(b)) }

// leadership is who leads, as this node knows it.
type leadership struct {
	node     skein.NodeID
	bell     *bell // of the region; nil: none
	notify   <-chan bool
	observed chan raft.Observation

	mu      sync.Mutex   // guards the fields below
	raft    skein.NodeID // as the local replica hears it
	hint    skein.NodeID // as another node said, for nodes that no leader talks to
	heard   time.Time    // when hint was last confirmed
	leads   bool
	changed chan struct{}
}

func newLeadership(node skein.NodeID) *leadership {
	// 64 observations: the reader takes the present state at each, so that dropped ones lose nothing.
	return &leadership{node: node, observed: make(chan raft.Observation, 64), changed: make(chan struct{})}
}

func (l *leadership) observe(r *raft.Raft) {
	r.RegisterObserver(raft.NewObserver(l.observed, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	}))
}

// set runs f and tells those who wait when the answer of leader or isLeader changed.
func (l *leadership) set(f func()) {
	if l.setQuietly(f) && l.bell != nil {
		l.bell.ring()
	}
}

func (l *leadership) setQuietly(f func()) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, leads := l.leaderLocked(), l.leads
	f()
	if id == l.leaderLocked() && leads == l.leads {
		return false
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

func (l *leadership) leaderLocked() skein.NodeID {
	if l.raft != "" {
		return l.raft
	}
	return l.hint
}

func (l *leadership) leader() skein.NodeID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaderLocked()
}

// suggest takes in what another node said; an empty node forgets a hint that failed.
func (l *leadership) suggest(node skein.NodeID) {
	l.set(func() {
		l.hint = node
		if node != "" {
			l.heard = time.Now()
		}
	})
}

// Leader gives the leader that this node knows of.
func (g *Group) Leader() (skein.NodeID, bool) {
	id := g.lead.leader()
	return id, id != ""
}

// IsLeader reports whether this node leads.
func (g *Group) IsLeader() bool {
	g.lead.mu.Lock()
	defer g.lead.mu.Unlock()
	return g.lead.leads
}

// LeaderChanged gives a channel that is closed when Leader or IsLeader changes. Take it before asking either.
func (g *Group) LeaderChanged() <-chan struct{} {
	g.lead.mu.Lock()
	defer g.lead.mu.Unlock()
	return g.lead.changed
}

// leadsWell reports whether this node leads and is able to: one whose disk hangs takes nothing up, and may have a
// successor that it does not know of. r may be nil.
func (g *Group) leadsWell(r *raft.Raft) bool {
	return r != nil && r.State() == raft.Leader && !g.watched.hung()
}

// Quorum reports whether the group can be expected to commit: this node leads, or has heard of a leader lately.
func (g *Group) Quorum() bool {
	r := g.raft.Load()
	if r == nil {
		return false
	}
	if g.leadsWell(r) {
		return true
	}
	g.lead.mu.Lock()
	defer g.lead.mu.Unlock()
	if g.lead.raft != "" {
		return time.Since(r.LastContact()) < quorumFresh
	}
	return g.lead.hint != "" && time.Since(g.lead.heard) < searchFresh
}

// follow keeps leadership up to date and runs what only a leader does.
func (g *Group) follow(ctx context.Context, r *raft.Raft) {
	end := func() {}
	defer func() { end() }()
	look := time.NewTicker(searchEvery) // nobody tells of a disk that hangs
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-g.lead.observed:
		case leads := <-g.lead.notify:
			end()
			end = func() {}
			if leads {
				g.transport.forgetProgress()
				end = g.reign(ctx, r)
			}
		case <-ctx.Done():
			return
		}
		g.refresh(r)
	}
}

// reign starts what only a leader does; end stops it and waits.
func (g *Group) reign(ctx context.Context, r *raft.Raft) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { g.reconcile(ctx, r) })
	loops.Go(func() { g.tick(ctx) })
	loops.Go(func() { g.keepCalendar(ctx) })
	loops.Go(func() { g.retain(ctx) })
	return func() {
		cancel()
		loops.Wait()
	}
}

func (g *Group) refresh(r *raft.Raft) {
	_, id := r.LeaderWithID()
	leads := g.leadsWell(r)
	if self := raft.ServerID(g.cfg.Node); leads {
		id = self
	} else if id == self { // its disk hangs: it does not know who leads now
		id = ""
	}
	g.lead.set(func() { g.lead.raft, g.lead.leads = skein.NodeID(id), leads })
}

// tick advances the group's clock about once a second while turns are open; ctx ends with the leadership.
func (g *Group) tick(ctx context.Context) {
	t := time.NewTicker(maxTick)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if g.disk.store.openCount() == 0 {
			last = now
			continue
		}
		elapsed := min(now.Sub(last), maxTick)
		last = now
		c := &wire.Command{Body: &wire.Command_Tick{Tick: &wire.CmdTick{ElapsedNs: int64(elapsed)}}}
		if buf, err := encodeCommand(c); err == nil {
			g.submit(ctx, [][]byte{buf}, len(buf)) // a tick that is lost makes the clock slow, never wrong
		}
	}
}

// search asks other nodes who leads while no leader talks to this one, as on a node without a replica.
func (g *Group) search(ctx context.Context) {
	t := time.NewTicker(searchEvery)
	defer t.Stop()
	for {
		if r := g.raft.Load(); !g.hears(r) {
			g.ask(ctx)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// hears reports whether the local replica is in touch with a leader.
func (g *Group) hears(r *raft.Raft) bool {
	if r == nil {
		return false
	}
	if r.State() == raft.Leader {
		return g.leadsWell(r)
	}
	_, id := r.LeaderWithID()
	return id != "" && time.Since(r.LastContact()) < quorumFresh
}

// unfence lets this node vote again once it holds everything that a leader of the present term has committed.
func (g *Group) unfence(ctx context.Context, r *raft.Raft) {
	t := time.NewTicker(reconcileEvery)
	defer t.Stop()
	for g.transport.fenced.Load() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		commit := r.CommitIndex()
		if !g.hears(r) || commit == 0 || r.AppliedIndex() < commit || g.disk.termOf(commit) != r.CurrentTerm() {
			continue
		}
		if err := removeNote(g.cfg.Dir, rejoinFile); err != nil {
			g.fatal(err)
			return
		}
		g.transport.fenced.Store(false)
		g.log.Info("caught up: this node votes again", "index", commit)
	}
}
