package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
)

// Config is what New needs.
type Config struct {
	Self     Member    // Node, Region, Zone, Incarnation, addresses, Voter; QUIC and HTTPS as others reach them
	Identity *Identity // must name Self
	Secret   Secret    // the gossip key comes from it
	Socket   *Socket   // Run of both must be running for anything to work
	Network  Network   // dials of the tethers; nil: Host

	GossipAddr netip.AddrPort   // UDP and TCP of the region's pool
	GlobalAddr netip.AddrPort   // UDP and TCP of the voters' pool; zero: none
	Seeds      []netip.AddrPort // gossip addresses of nodes of this region; empty on the first
	Abroad     []netip.AddrPort // global gossip addresses of voters of other regions; each voter needs one that answers

	RegionTransport memberlist.Transport // nil: memberlist's own on GossipAddr
	GlobalTransport memberlist.Transport // nil: memberlist's own on GlobalAddr; Run closes both

	Log    *slog.Logger        // nil: discard
	Meters *telemetry.Registry // nil: nothing is counted
}

// Mesh is this node's part in the mesh.
type Mesh struct {
	config   Config
	log      *slog.Logger
	meta     atomic.Pointer[[]byte]
	snapshot atomic.Pointer[snapshot]
	region   atomic.Pointer[pool]
	global   atomic.Pointer[pool]
	leaders  atomic.Pointer[[]skein.NodeID]
	leaving  atomic.Bool
	handlers map[string]handler // complete before Run
	links    *links
	coords   *coordinates
	tasks    tasks
	remeta   chan struct{} // metadata has changed
	retether chan struct{} // the leaders have changed
	proofs   chan struct{} // one for each certificate that is asked for
	counts   *counts

	mu       sync.Mutex // guards the fields below
	view     *view
	version  uint64 // of this node's digests
	refuted  time.Time
	heard    map[notice]time.Time // notices of late, so that each is passed on once
	checking map[skein.Runner]bool
	tethers  map[net.Conn]bool // both ways
}

// snapshot is an immutable list of members; changed is closed when it has been replaced.
type snapshot struct {
	members []Member
	byNode  map[skein.NodeID]int
	changed chan struct{}
}

// handler serves the streams of a service.
type handler struct {
	serve    func(ctx context.Context, peer skein.NodeID, conn net.Conn)
	regional bool // for nodes of this region only
}

// New checks c and gives a mesh that knows only itself until Run.
func New(c Config) (*Mesh, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Network == nil {
		c.Network = Host{Log: c.Log}
	}
	widest := c.Self
	widest.Draining, widest.Voter = true, true
	if _, err := encodeMeta(widest); err != nil {
		return nil, err
	}
	c.Self.Load = clampLoad(c.Self.Load)
	m := &Mesh{
		config: c, log: logger(c.Log).With("node", string(c.Self.Node)),
		handlers: map[string]handler{}, remeta: make(chan struct{}, 1), retether: make(chan struct{}, 1),
		proofs: make(chan struct{}, maxProofs), counts: newCounts(c.Meters),
		view: newView(c.Self, time.Now()), heard: map[notice]time.Time{},
		checking: map[skein.Runner]bool{}, tethers: map[net.Conn]bool{},
	}
	m.links = newLinks(m)
	coords, err := newCoordinates(m)
	if err != nil {
		return nil, err
	}
	m.coords = coords
	m.gauges(c.Meters)
	lives := m.lives
	c.Socket.lives.Store(&lives)
	m.storeMeta(c.Self)
	m.snapshot.Store(&snapshot{changed: make(chan struct{})})
	m.update(func(*view, time.Time) {})
	return m, nil
}

func (c Config) validate() error {
	var faults []error
	if c.Identity == nil || c.Socket == nil {
		faults = append(faults, errors.New("mesh: identity and socket are needed"))
	}
	if c.Identity != nil {
		if p := c.Identity.Place(); p != (skein.Place{Node: c.Self.Node, Region: c.Self.Region, Zone: c.Self.Zone}) {
			faults = append(faults, fmt.Errorf("mesh: the certificate names %s/%s/%s, the configuration %s/%s/%s",
				p.Region, p.Zone, p.Node, c.Self.Region, c.Self.Zone, c.Self.Node))
		}
	}
	if err := c.Secret.Validate(); err != nil {
		faults = append(faults, err)
	}
	if _, err := memberOf(string(c.Self.Node), c.Self.meta()); err != nil {
		faults = append(faults, err)
	}
	if len(c.Self.QUIC) == 0 || len(c.Self.HTTPS) == 0 {
		faults = append(faults, errors.New("mesh: a QUIC and an HTTPS address are needed"))
	}
	if !c.GossipAddr.IsValid() && c.RegionTransport == nil {
		faults = append(faults, errors.New("mesh: a gossip address is needed"))
	}
	return errors.Join(faults...)
}

// Run takes part until ctx ends. Without a call of Leave before, the others will call this node dead.
func (m *Mesh) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	m.tasks.open(ctx) // before the pools: their news start checks and dials
	defer m.tasks.wait()
	defer cancel()
	region, err := m.openPool(false, m.config.GossipAddr, m.config.RegionTransport)
	if err != nil {
		return err
	}
	m.region.Store(region)
	var global *pool
	if m.Self().Voter && m.hasGlobal() {
		if global, err = m.openPool(true, m.config.GlobalAddr, m.config.GlobalTransport); err != nil {
			region.list.Shutdown()
			return err
		}
		m.global.Store(global)
	}
	for _, loop := range []func(context.Context){
		func(ctx context.Context) { region.join(ctx, m.config.Seeds) },
		region.deliver, m.runGlobal, m.updateMeta, m.announce, m.keepTethers, m.acceptTethers,
		m.recheck, m.links.accept, m.links.reap, m.coords.run,
	} {
		m.tasks.spawn(loop)
	}
	<-ctx.Done()
	m.links.closeAll()
	m.closeTethers()
	region.list.Shutdown()
	if g := m.global.Load(); g != nil {
		g.list.Shutdown()
	}
	m.tasks.wait()
	if g := m.global.Load(); g != nil {
		g.list.Shutdown() // it may have been opened while the tasks ended; a second call does nothing
	} else if m.config.GlobalTransport != nil {
		m.config.GlobalTransport.Shutdown() // never used: this node was no voter
	}
	m.links.closeAll()
	return nil
}

func (m *Mesh) hasGlobal() bool {
	return m.config.GlobalAddr.IsValid() || m.config.GlobalTransport != nil
}

// runGlobal takes part in the voters' pool from the moment that this node is one. A node that is no voter any
// more stays and listens, since a demoted voter mostly comes back; it tells nothing.
func (m *Mesh) runGlobal(ctx context.Context) {
	if !m.hasGlobal() {
		return
	}
	for m.global.Load() == nil {
		changed := m.Changed()
		if m.Self().Voter {
			p, err := m.openPool(true, m.config.GlobalAddr, m.config.GlobalTransport)
			if err != nil {
				m.log.Error("the pool across regions does not open; trying again", "err", err)
				if !wait(ctx, 5*time.Second) {
					return
				}
				continue
			}
			m.global.Store(p)
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
	p := m.global.Load()
	m.tasks.spawn(p.deliver)
	p.join(ctx, m.config.Abroad)
}

// update changes the view and publishes what has changed.
func (m *Mesh) update(f func(v *view, now time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.view, time.Now())
	if !m.view.changed {
		return
	}
	next := &snapshot{members: m.view.list(), byNode: map[skein.NodeID]int{}, changed: make(chan struct{})}
	for i, member := range next.members {
		next.byNode[member.Node] = i
	}
	close(m.snapshot.Swap(next).changed)
}

// Leave tells the others that this node goes in order; call it before ctx of Run ends. It returns when the word
// is out, or with ctx.
func (m *Mesh) Leave(ctx context.Context) error {
	if m.leaving.Swap(true) {
		return nil
	}
	region := m.region.Load()
	if region == nil {
		return nil
	}
	m.update(func(v *view, now time.Time) {
		self := v.self
		self.Status, self.Since = Left, now
		v.setSelf(self)
	})
	m.tell(notice{about: m.Self().Runner(), status: Left, observer: m.config.Self.Node, evidence: "leaves"})
	m.byeTethers()
	// memberlist's own word reads as death where ours has not arrived: give it a head start.
	wait(ctx, 50*time.Millisecond)
	timeout := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Millisecond, min(timeout, time.Until(deadline)/2))
	}
	err := region.list.Leave(timeout)
	if g := m.global.Load(); g != nil {
		err = errors.Join(err, g.list.Leave(timeout))
	}
	if err != nil {
		return fmt.Errorf("leave the mesh: %w", err)
	}
	return nil
}
