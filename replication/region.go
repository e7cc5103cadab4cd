package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// serviceRaft is the name under which the replicas of a group reach each other's library.
const serviceRaft = "raft"

// RegionConfig is what a Region needs.
type RegionConfig struct {
	// Config is that of every group. Dir is the region's directory, see GroupDir; Group and Layer are set by OpenRegion.
	Config
	Groups int // into how many groups the sessions are divided, 1 to MaxGroups; 0: 1. Fixed when the region is created
	// Layers makes the streams between replicas for one service of the mesh; addresses are node ids.
	Layers func(service string) raft.StreamLayer
}

// Region is this node's part in all groups of its region. A session belongs to one of them for ever, see GroupOf; each
// has its own leader. Its methods may be called from several goroutines, also before Run.
type Region struct {
	cfg     RegionConfig
	log     *slog.Logger
	groups  []*Group
	changed bell // somewhere the leader has changed
}

// OpenRegion opens or makes the replicas of all groups. Run or Close must follow. A directory that was made for another
// number of groups is refused with skein.CodeRefused and left as it is.
func OpenRegion(cfg RegionConfig) (*Region, error) {
	if cfg.Groups == 0 {
		cfg.Groups = 1
	}
	if cfg.Groups < 1 || cfg.Groups > MaxGroups || cfg.Layers == nil || cfg.Dir == "" {
		return nil, fmt.Errorf("replication: %d groups in %q: want 1 to %d, a directory and stream layers", cfg.Groups, cfg.Dir, MaxGroups)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Region{cfg: cfg, log: cfg.Log}
	if err := claimGroups(cfg.Dir, cfg.Groups, newRaftLog(cfg.Log)); err != nil {
		return nil, err
	}
	if cfg.Space == nil {
		cfg.Space = newMeasured(func() (free, total uint64, err error) { return statSpace(cfg.Dir) }).get
	}
	compacting := make(chan struct{}, 1)
	for i := range cfg.Groups {
		g, err := r.openGroup(cfg, i)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		g.compacting = compacting
		g.lead.bell = &r.changed
		g.leads = r.leads
		r.groups = append(r.groups, g)
	}
	for _, g := range r.groups {
		g.watched.disk = r.hung
	}
	return r, nil
}

func (r *Region) openGroup(cfg RegionConfig, i int) (*Group, error) {
	one := cfg.Config
	one.Group = uint32(i)
	one.Dir = GroupDir(cfg.Dir, cfg.Groups, i)
	one.Peers = groupPeers{cfg.Peers, serviceOf(Service, cfg.Groups, i)}
	one.Layer = cfg.Layers(serviceOf(serviceRaft, cfg.Groups, i))
	g, err := Open(one)
	if err != nil && cfg.Groups > 1 {
		err = fmt.Errorf("group %d: %w", i, err)
	}
	return g, err
}

// groupPeers leads the streams of one group to its own service.
type groupPeers struct {
	Peers
	service string
}

// Dial satisfies Peers; a group asks for no service but its own.
func (p groupPeers) Dial(ctx context.Context, node skein.NodeID, _ string) (net.Conn, error) {
	return p.Peers.Dial(ctx, node, p.service)
}

// Handle registers what the nodes of the region ask each other; call it once, before the mesh runs.
func (r *Region) Handle(register func(service string, serve func(context.Context, skein.NodeID, net.Conn))) {
	for i, g := range r.groups {
		register(serviceOf(Service, len(r.groups), i), g.Serve)
	}
	register(serviceGroups, r.tellGroups)
}

// Groups gives the groups by their numbers.
func (r *Region) Groups() []*Group { return r.groups }

// Of gives the group that holds a session.
func (r *Region) Of(id skein.SessionID) *Group { return r.groups[GroupOf(id, len(r.groups))] }

// Close gives back what OpenRegion opened when Run will not be called; after Run it does nothing.
func (r *Region) Close() error {
	var err error
	for _, g := range r.groups {
		err = errors.Join(err, g.Close())
	}
	return err
}

// Run takes part in all groups until ctx ends or one of them cannot go on, which ends them all: they share a process, a
// disk and its memory. Which errors mean what is told by ErrDiskHung and its neighbours. Run is called once.
func (r *Region) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, len(r.groups)+1) // each can leave its error
	var running, loops sync.WaitGroup
	for _, g := range r.groups {
		running.Go(func() {
			if err := g.Run(inner); err != nil {
				failed <- err
				r.failAll(g, err)
			}
			stop()
		})
	}
	loops.Go(func() {
		if err := r.agree(inner); err != nil {
			failed <- err
			stop()
		}
	})
	loops.Go(func() { r.balance(inner) })
	running.Wait()
	loops.Wait()
	close(failed)
	return <-failed // the first one is the cause
}

// failAll ends the other groups when one ends by a fault of the disk: theirs would only find it out later. After any
// other fault they hand their leaderships over first.
func (r *Region) failAll(from *Group, err error) {
	if !errors.Is(err, ErrDiskHung) && !errors.Is(err, ErrStorage) {
		return
	}
	for _, g := range r.groups {
		if g != from {
			g.fatal(err)
		}
	}
}

// hung reports whether a write to the log of any group has run for too long: they are on one disk.
func (r *Region) hung() bool {
	for _, g := range r.groups {
		if g.watched.stuck() {
			return true
		}
	}
	return false
}

// leads counts the groups that a node leads, as far as this one knows.
func (r *Region) leads(node skein.NodeID) int {
	n := 0
	for _, g := range r.groups {
		if id, _ := g.Leader(); id == node {
			n++
		}
	}
	return n
}

// LeaderChanged gives a channel that is closed when the answer of any group's Leader or IsLeader changes. Take it before asking.
func (r *Region) LeaderChanged() <-chan struct{} { return r.changed.wait() }

// Quorum reports whether every group can be expected to commit.
func (r *Region) Quorum() bool {
	for _, g := range r.groups {
		if !g.Quorum() {
			return false
		}
	}
	return true
}

// bell wakes whoever waits for a change. The zero value is ready.
type bell struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
