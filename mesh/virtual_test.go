package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
)

// virtualRegion is three nodes, a, b and c, on 10.0.block.1 to 3.
type virtualRegion struct {
	name   string
	block  byte
	abroad []netip.AddrPort
}

func (r virtualRegion) host(sim *simulation, i int) simHost {
	return simHost{sim, netip.AddrFrom4([4]byte{10, 0, r.block, byte(i + 1)})}
}

// globals gives the addresses that other regions join.
func (r virtualRegion) globals() []netip.AddrPort {
	var out []netip.AddrPort
	for i := range 3 {
		out = append(out, netip.AddrPortFrom(r.host(nil, i).addr, 7947))
	}
	return out
}

// build makes node i of the region.
func (r virtualRegion) build(t *testing.T, sim *simulation, i int) (*Mesh, *Socket) {
	t.Helper()
	name := fmt.Sprintf("%s-%c", r.name, 'a'+i)
	h := r.host(sim, i)
	id := issueIdentity(t, sim.ca, name, r.name)
	addr := netip.AddrPortFrom(h.addr, 8443)
	packet, err := h.ListenPacket(addr)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := h.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	sock, err := Listen(SocketConfig{Packet: packet, Stream: stream, Identity: id, Secret: testSecret()})
	if err != nil {
		t.Fatal(err)
	}
	regional, err := newSimGossip(h, 7946)
	if err != nil {
		t.Fatal(err)
	}
	global, err := newSimGossip(h, 7947)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{
		Self: Member{Node: skein.NodeID(name), Region: skein.Region(r.name), Zone: "a", Incarnation: 1, Voter: true,
			QUIC: []netip.AddrPort{addr}, HTTPS: []netip.AddrPort{addr}},
		Identity: id, Secret: testSecret(), Socket: sock, Network: h, GossipAddr: regional.addr, GlobalAddr: global.addr,
		RegionTransport: regional, GlobalTransport: global, Abroad: r.abroad,
		Seeds: []netip.AddrPort{netip.AddrPortFrom(r.host(sim, 0).addr, 7946)},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Handle("silent", func(ctx context.Context, _ skein.NodeID, _ net.Conn) { <-ctx.Done() })
	return m, sock
}

// start runs the region; the functions stop its nodes.
func (r virtualRegion) start(t *testing.T, sim *simulation) (nodes []*Mesh, stops []func()) {
	t.Helper()
	for i := range 3 {
		m, sock := r.build(t, sim, i)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- sock.Run(ctx) }()
		go func() { done <- m.Run(ctx) }()
		stop := sync.OnceFunc(func() {
			cancel()
			if err := errors.Join(<-done, <-done); err != nil {
				t.Errorf("%s: %v", m.config.Self.Node, err)
			}
		})
		nodes, stops = append(nodes, m), append(stops, stop)
	}
	return nodes, stops
}

// within waits in virtual time until all of nodes give node that status, and gives how long it took.
func within(t *testing.T, limit time.Duration, nodes []*Mesh, node skein.NodeID, want Status) time.Duration {
	t.Helper()
	started := time.Now()
	for _, m := range nodes {
		for {
			changed := m.Changed()
			got, _ := m.Member(node)
			if m.config.Self.Node == node || got.Status == want {
				break
			}
			select {
			case <-changed:
			case <-time.After(limit - time.Since(started)):
				t.Fatalf("%s holds %s for %s after %s, want %s", m.config.Self.Node, node, got.Status, limit, want)
			}
		}
	}
	return time.Since(started)
}

// TestVirtualTime runs two regions in a bubble: a process that ends, a host that falls silent and comes back.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulation()
		sim.ca = newTestCA(t)
		regions := []virtualRegion{{name: "eu", block: 1}, {name: "us", block: 2}}
		regions[0].abroad, regions[1].abroad = regions[1].globals(), regions[0].globals()
		eu, stopEU := regions[0].start(t, sim)
		us, stopUS := regions[1].start(t, sim)
		defer func() {
			for _, stop := range append(stopEU, stopUS...) {
				stop()
			}
			time.Sleep(10 * time.Second) // memberlist waits for none of its goroutines: let their timeouts pass
		}()
		all := append(append([]*Mesh{}, eu...), us...)
		for _, m := range all {
			within(t, 10*time.Second, all, m.config.Self.Node, Alive)
		}
		time.Sleep(20 * time.Second)
		for _, m := range all {
			if took := within(t, 0, all, m.config.Self.Node, Alive); took != 0 {
				t.Errorf("%s was not alive after quiet time", m.config.Self.Node)
			}
		}

		conn, err := us[0].Dial(t.Context(), "eu-c", "silent")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sim.isolate(netip.MustParseAddr("10.0.1.3"), true)
		rest := []*Mesh{eu[0], eu[1], us[0], us[1], us[2]}
		took := within(t, 3*time.Second, rest, "eu-c", Dead)
		t.Logf("silent host: dead in all regions after %s", took)
		if took > 2*time.Second {
			t.Errorf("a silent host was dead after %s", took)
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a stream to a dead node gives data")
		}
		sim.isolate(netip.MustParseAddr("10.0.1.3"), false)
		for _, m := range all {
			took = max(took, within(t, 30*time.Second, all, m.config.Self.Node, Alive))
		}

		stopUS[1]()
		took = within(t, time.Second, []*Mesh{us[0], us[2], eu[0], eu[1], eu[2]}, "us-b", Dead)
		t.Logf("ended process: dead in all regions after %s", took)
	})
}
