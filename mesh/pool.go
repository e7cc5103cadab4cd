package mesh

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein"
)

// pool is one memberlist: that of the region, or that of all regions' voters.
type pool struct {
	mesh   *Mesh
	global bool
	list   *memberlist.Memberlist
	queue  *memberlist.TransmitLimitedQueue
	outbox chan []byte  // messages for direct delivery; full: gossip and the next full digest make up for it
	size   atomic.Int32 // of the pool, for the number of retransmissions

	mu    sync.Mutex              // guards the fields below
	self  string                  // own gossip address
	known map[skein.NodeID]target // members that did not leave; memberlist's own list may not be read while it runs
}

// target is where gossip to a member goes.
type target struct {
	addr  string
	alive bool // by gossip
}

const (
	maxQueued = 256 // gossip messages that wait for transmission
	maxDirect = 16  // receivers of a direct delivery; the others hear it by gossip
	maxSeeds  = 64
)

// openPool starts a memberlist; the transport is nil for memberlist's own on addr.
func (m *Mesh) openPool(global bool, addr netip.AddrPort, transport memberlist.Transport) (*pool, error) {
	p := &pool{mesh: m, global: global, outbox: make(chan []byte, maxQueued), known: map[skein.NodeID]target{}}
	p.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: 3, NumNodes: func() int { return int(p.size.Load()) }}
	c := p.timers()
	c.Name = string(m.config.Self.Node)
	c.Transport = transport
	c.Label = "skein/global"
	if !global {
		c.Label = "skein/region/" + string(m.config.Self.Region)
	}
	c.SecretKey = m.config.Secret.gossipKey()
	c.EnableCompression = false
	c.BindAddr, c.BindPort, c.AdvertisePort = addr.Addr().String(), int(addr.Port()), int(addr.Port())
	if advertise := m.advertise(addr.Addr()); advertise.IsValid() {
		c.AdvertiseAddr = advertise.String()
	}
	// A dead node may come back elsewhere at once: its incarnation tells the runs apart.
	c.DeadNodeReclaimTime = time.Millisecond
	c.Delegate, c.Events, c.Alive, c.Conflict = p, p, p, p
	c.Logger = log.New(gossipLog{m.log}, "", 0)
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, fmt.Errorf("open %s on %s: %w", c.Label, addr, err)
	}
	p.list = list
	return p, nil
}

// advertise gives the address that others reach: the one listened on, or the first QUIC address where gossip
// listens on all.
func (m *Mesh) advertise(addr netip.Addr) netip.Addr {
	if addr.IsValid() && !addr.IsUnspecified() {
		return addr
	}
	if len(m.config.Self.QUIC) > 0 {
		return m.config.Self.QUIC[0].Addr()
	}
	return netip.Addr{}
}

// timers sets the pace. Region: a probe every 250 ms and a second of suspicion make a silent host dead in about
// 1.5 s. Global: about 6 s; the region's own voters are faster and tell by digest.
func (p *pool) timers() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.TCPTimeout = 2 * time.Second
	c.SuspicionMaxTimeoutMult = 1
	c.SuspicionMult = 4
	c.AwarenessMaxMultiplier = 4
	c.GossipNodes = 3
	if p.global {
		c.ProbeInterval, c.ProbeTimeout = time.Second, 500*time.Millisecond
		c.GossipInterval, c.PushPullInterval = 200*time.Millisecond, 15*time.Second
		return c
	}
	c.ProbeInterval, c.ProbeTimeout = 250*time.Millisecond, 120*time.Millisecond
	c.GossipInterval, c.PushPullInterval = 100*time.Millisecond, 10*time.Second
	return c
}

// send queues a message for gossip and for direct delivery. It never blocks.
func (p *pool) send(msg []byte) {
	p.queue.QueueBroadcast(broadcast(msg))
	p.queue.Prune(maxQueued)
	select {
	case p.outbox <- msg:
	default:
	}
}

// deliver sends what is in the outbox straight to the others, so that news needs one network delay.
func (p *pool) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case msg := <-p.outbox:
			p.direct(msg, maxDirect)
		}
	}
}

// direct sends msg to at most limit other members; in the global pool only to other regions'.
func (p *pool) direct(msg []byte, limit int) {
	for id, to := range p.targets() {
		if p.global && p.mesh.regionOf(id) == p.mesh.config.Self.Region {
			continue
		}
		if limit--; limit < 0 {
			return
		}
		if err := p.list.SendToAddress(memberlist.Address{Addr: to, Name: string(id)}, msg); err != nil {
			p.mesh.log.Debug("direct gossip", "to", id, "err", err)
		}
	}
}

// targets gives the living members, in no order.
func (p *pool) targets() map[skein.NodeID]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[skein.NodeID]string, len(p.known))
	for id, t := range p.known {
		if t.alive {
			out[id] = t.addr
		}
	}
	return out
}

// join keeps this node connected: to the seeds until each is a member, and to the lost, which heals a partition
// that outlived gossip's own patience.
func (p *pool) join(ctx context.Context, seeds []netip.AddrPort) {
	pause := 200 * time.Millisecond
	for {
		reached := p.joinOnce(ctx, seeds)
		if reached {
			pause = 2 * time.Second
		} else {
			pause = min(2*pause, 2*time.Second)
		}
		if !wait(ctx, pause/2+rand.N(pause)) {
			return
		}
	}
}

// joinOnce dials seeds that are no members, and a few members that were lost.
func (p *pool) joinOnce(ctx context.Context, seeds []netip.AddrPort) (all bool) {
	missing := p.missing(seeds)
	for addr := range missing {
		if ctx.Err() != nil {
			return false
		}
		if _, err := p.list.Join([]string{addr}); err != nil {
			p.mesh.log.Debug("join", "pool", p.name(), "addr", addr, "err", err)
		}
	}
	return len(missing) == 0
}

// missing lists seeds that are no members, and up to two members that were lost.
func (p *pool) missing(seeds []netip.AddrPort) map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	alive := map[string]bool{p.self: true}
	lost := map[string]bool{}
	for id, t := range p.known {
		member, ok := p.mesh.Member(id)
		switch {
		case t.alive:
			alive[t.addr] = true
		case !ok || member.Status == Left:
			delete(p.known, id)
		case len(lost) < 2:
			lost[t.addr] = true
		}
	}
	for _, seed := range seeds[:min(len(seeds), maxSeeds)] {
		lost[seed.String()] = true
	}
	maps.DeleteFunc(lost, func(addr string, _ bool) bool { return alive[addr] })
	return lost
}

// forget stops join from looking for a node that has left.
func (p *pool) forget(id skein.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, id)
}

func (p *pool) name() string {
	if p.global {
		return "global"
	}
	return "region"
}

// broadcast is a gossip message that replaces no other.
type broadcast []byte

func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                       { return b }
func (b broadcast) Finished()                             {}
func (b broadcast) UniqueBroadcast()                      {}

// gossipLog brings memberlist's lines into the structured log; its warnings are part of normal life.
type gossipLog struct{ log *slog.Logger }

func (g gossipLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.Contains(text, "[ERR]") {
		g.log.Info(text)
	} else {
		g.log.Debug(text)
	}
	return len(line), nil
}
