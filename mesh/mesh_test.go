package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
)

// testNode is one node on loopback with real sockets.
type testNode struct {
	*Mesh
	sock       testSocket
	kill       func() // ends mesh and socket without a word
	gossipAddr netip.AddrPort
	globalAddr netip.AddrPort
}

// spec says which node to start.
type spec struct {
	node, region string
	inc          skein.Incarnation
	seed, abroad *testNode
	gossip       int // port; 0: any
	member       bool
	handle       func(*Mesh)
	meters       *telemetry.Registry
}

func gossipTransport(t *testing.T, port int) (memberlist.Transport, netip.AddrPort) {
	t.Helper()
	nt, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{"127.0.0.1"}, BindPort: port, Logger: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	return advertised{nt}, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(nt.GetAutoBindPort()))
}

// advertised makes memberlist advertise the port that was picked.
type advertised struct{ *memberlist.NetTransport }

func (a advertised) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IPv4(127, 0, 0, 1).To4(), a.GetAutoBindPort(), nil
}

func startNode(t *testing.T, ca *CA, s spec) *testNode {
	t.Helper()
	n := &testNode{sock: listenLoopback(t, issueIdentity(t, ca, s.node, s.region), nil)}
	region, regionAddr := gossipTransport(t, s.gossip)
	global, globalAddr := gossipTransport(t, 0)
	n.gossipAddr, n.globalAddr = regionAddr, globalAddr
	c := Config{
		Self: Member{
			Node: skein.NodeID(s.node), Region: skein.Region(s.region), Zone: "a", Incarnation: max(s.inc, 1), Voter: !s.member,
			QUIC: []netip.AddrPort{n.sock.udp}, HTTPS: []netip.AddrPort{n.sock.tcp},
		},
		Identity: n.sock.config.Identity, Secret: testSecret(), Socket: n.sock.Socket,
		GossipAddr: regionAddr, RegionTransport: region, Meters: s.meters,
	}
	n.sock.badTether, n.sock.badQUIC = refusedHandshakes(s.meters, "tether"), refusedHandshakes(s.meters, "quic")
	if s.member {
		global.Shutdown()
	} else {
		c.GlobalAddr, c.GlobalTransport = globalAddr, global
	}
	if s.seed != nil {
		c.Seeds = []netip.AddrPort{s.seed.gossipAddr}
	}
	if s.abroad != nil {
		c.Abroad = []netip.AddrPort{s.abroad.globalAddr}
	}
	var err error
	if n.Mesh, err = New(c); err != nil {
		t.Fatal(err)
	}
	if s.handle != nil {
		s.handle(n.Mesh)
	}
	stopSocket := start(t, n.sock.Run)
	stopMesh := start(t, n.Run)
	n.kill = func() {
		// The sockets go first, as in a process that ends.
		stopSocket()
		stopMesh()
	}
	return n
}

// until waits until ok holds of n's view.
func (n *testNode) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	for {
		changed := n.Changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("%s: never came that %s; members %s", n.config.Self.Node, what, describe(n.Members()))
		}
	}
}

func (n *testNode) sees(t *testing.T, node string, s Status) {
	t.Helper()
	n.until(t, fmt.Sprintf("%s is %s", node, s), func() bool {
		m, _ := n.Member(skein.NodeID(node))
		return m.Status == s
	})
}

func describe(members []Member) string {
	var out string
	for _, m := range members {
		out += fmt.Sprintf("%s#%d=%s ", m.Node, m.Incarnation, m.Status)
	}
	return out
}

// region starts three voters.
func startRegion(t *testing.T, ca *CA, name string, abroad *testNode) []*testNode {
	t.Helper()
	var nodes []*testNode
	for i, zone := range []string{"a", "b", "c"} {
		s := spec{node: name + "-" + zone, region: name, abroad: abroad}
		if i > 0 {
			s.seed = nodes[0]
		}
		nodes = append(nodes, startNode(t, ca, s))
	}
	return nodes
}

func (n *testNode) tethered(t *testing.T, count int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s has %d tethers", n.config.Self.Node, count), func() bool { return len(n.openTethers()) >= count })
}

// waitFor polls for what has no channel.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came that %s", what)
		}
	}
}

func TestMeshOfTwoRegions(t *testing.T) {
	ca := newTestCA(t)
	eu := startRegion(t, ca, "eu", nil)
	us := startRegion(t, ca, "us", eu[0])
	plain := startNode(t, ca, spec{node: "us-d", region: "us", seed: us[1], member: true})
	all := append(append([]*testNode{plain}, eu...), us...)
	for _, n := range all {
		for _, other := range all {
			n.sees(t, string(other.config.Self.Node), Alive)
		}
	}
	eu[1].SetDraining(true)
	eu[1].SetLoad(0.75)
	for _, n := range all {
		n.until(t, "eu-b drains under load", func() bool {
			m, _ := n.Member("eu-b")
			return m.Draining && m.Load == 0.75
		})
	}
	for _, n := range eu {
		n.tethered(t, 4)
	}
	eu[2].kill()
	started := time.Now()
	for _, n := range all {
		if n != eu[2] {
			n.sees(t, "eu-c", Dead)
		}
	}
	if took := time.Since(started); took > time.Second {
		t.Errorf("the death was known in all regions after %s, so gossip found it and not the tether", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := us[2].Leave(ctx); err != nil {
		t.Error(err)
	}
	us[2].kill()
	for _, n := range all {
		if n != eu[2] && n != us[2] {
			n.sees(t, "us-c", Left)
		}
	}
}

// TestMeshRestart starts a killed node again on the same gossip address, while the others' gossip may still hold
// its earlier run for alive.
func TestMeshRestart(t *testing.T) {
	ca := newTestCA(t)
	eu := startRegion(t, ca, "eu", nil)
	eu[0].sees(t, "eu-c", Alive)
	eu[1].sees(t, "eu-c", Alive)
	eu[2].sees(t, "eu-b", Alive)
	eu[2].kill()
	again := startNode(t, ca, spec{node: "eu-c", region: "eu", inc: 2, seed: eu[0], gossip: int(eu[2].gossipAddr.Port())})
	for _, n := range []*testNode{eu[0], eu[1], again} {
		n.until(t, "eu-c lives at incarnation 2", func() bool {
			m, _ := n.Member("eu-c")
			return m.Status == Alive && m.Incarnation == 2 && m.QUIC[0] == again.sock.udp
		})
	}
}

func TestMeshRestartElsewhere(t *testing.T) {
	ca := newTestCA(t)
	eu := startRegion(t, ca, "eu", nil)
	eu[0].sees(t, "eu-c", Alive)
	eu[2].sees(t, "eu-b", Alive)
	eu[2].kill()
	startNode(t, ca, spec{node: "eu-c", region: "eu", inc: 2, seed: eu[0]})
	eu[0].until(t, "eu-c lives at incarnation 2", func() bool {
		m, _ := eu[0].Member("eu-c")
		return m.Status == Alive && m.Incarnation == 2
	})
}

// TestMeshNoticeIsChecked sends a false notice: the accused is called alive again, and never dead.
func TestMeshNoticeIsChecked(t *testing.T) {
	ca := newTestCA(t)
	eu := startRegion(t, ca, "eu", nil)
	for _, n := range eu {
		n.sees(t, "eu-b", Alive)
		n.sees(t, "eu-c", Alive)
		n.tethered(t, 4)
	}
	accused, _ := eu[0].Member("eu-c")
	eu[0].heardNotice(notice{about: accused.Runner(), status: Dead, observer: "eu-b", evidence: "slander"})
	eu[0].until(t, "eu-c is alive after the check", func() bool {
		m, _ := eu[0].Member("eu-c")
		if m.Status == Dead {
			t.Error("dead by another's word")
		}
		return m.Status == Alive && m.Since.After(accused.Since)
	})
}

func TestMeshStreams(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ca := newTestCA(t)
	echo := func(m *Mesh) {
		m.Handle("echo", func(_ context.Context, peer skein.NodeID, conn net.Conn) {
			fmt.Fprintf(conn, "%s:", peer)
			io.Copy(conn, conn)
		})
		m.Handle("silent", func(ctx context.Context, _ skein.NodeID, _ net.Conn) { <-ctx.Done() })
	}
	a := startNode(t, ca, spec{node: "eu-a", region: "eu", handle: echo})
	b := startNode(t, ca, spec{node: "eu-b", region: "eu", seed: a, handle: echo})
	a.sees(t, "eu-b", Alive)
	b.sees(t, "eu-a", Alive)
	for _, dial := range []struct {
		from *testNode
		to   skein.NodeID
	}{{a, "eu-b"}, {b, "eu-a"}, {a, "eu-a"}} {
		conn, err := dial.from.Dial(ctx, dial.to, "echo")
		if err != nil {
			t.Fatal(err)
		}
		want := string(dial.from.config.Self.Node) + ":hi"
		go conn.Write([]byte("hi"))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Errorf("%s to %s: %q, %v, want %q", dial.from.config.Self.Node, dial.to, got, err, want)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read past a deadline: %v", err)
		}
		conn.Close()
		if _, err := conn.Write([]byte("x")); err == nil {
			t.Error("a write after Close works")
		}
	}
	if _, err := a.Dial(ctx, "nobody", "echo"); !errors.Is(err, skein.ErrUnknownNode) {
		t.Errorf("dial of an unknown node: %v", err)
	}
	conn, err := a.Dial(ctx, "eu-b", "no such service")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read from an unknown service: %v, want an error", err)
	}
	conn.Close()
	testStreamsDoNotLeak(ctx, t, a, b)
	testDeathEndsStreams(ctx, t, a, b)
}

// testStreamsDoNotLeak opens more streams than a peer may have at once, one after the other.
func testStreamsDoNotLeak(ctx context.Context, t *testing.T, a, b *testNode) {
	t.Helper()
	for range 300 {
		conn, err := a.Dial(ctx, "eu-b", "echo")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	for _, n := range []*testNode{a, b} {
		waitFor(t, "all streams have ended", func() bool {
			for _, l := range n.links.open() {
				if !l.idle() {
					return false
				}
			}
			return true
		})
	}
}

// testDeathEndsStreams kills b under an open stream.
func testDeathEndsStreams(ctx context.Context, t *testing.T, a, b *testNode) {
	t.Helper()
	a.tethered(t, 2)
	conn, err := a.Dial(ctx, "eu-b", "silent")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		failed <- err
	}()
	b.kill()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("a stream to a dead node gives data")
		}
	case <-ctx.Done():
		t.Fatal("a stream to a dead node stays open")
	}
	a.sees(t, "eu-b", Dead)
	if _, err := a.Dial(ctx, "eu-b", "echo"); err == nil {
		t.Error("a dead node is dialed")
	}
}

func TestRaftLayer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ca := newTestCA(t)
	a := startNode(t, ca, spec{node: "eu-a", region: "eu"})
	var accept func() (net.Conn, error)
	var closeLayer func() error
	b := startNode(t, ca, spec{node: "eu-b", region: "eu", seed: a, handle: func(m *Mesh) {
		l := m.RaftLayer("raft")
		accept, closeLayer = l.Accept, l.Close
		if got := l.Addr().String(); got != "eu-b" {
			t.Errorf("address %q, want eu-b", got)
		}
	}})
	a.sees(t, "eu-b", Alive)
	dialer := &raftLayer{mesh: a.Mesh, service: "raft"}
	near, err := dialer.Dial("eu-b", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := accept()
	if err != nil {
		t.Fatal(err)
	}
	if got := far.RemoteAddr().String(); got != "eu-a" {
		t.Errorf("remote address %q, want eu-a", got)
	}
	near.Write([]byte("x"))
	far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	far.Close()
	if _, err := near.Read(make([]byte, 1)); err == nil {
		t.Error("the far end's Close is not seen")
	}
	closeLayer()
	if _, err := accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after Close: %v", err)
	}
	if err := a.coords.ping(ctx, "eu-b"); err != nil {
		t.Error(err)
	}
	if rtt, ok := a.RTT("eu-b"); !ok || rtt < 0 || rtt > time.Second {
		t.Errorf("round trip %s, %v", rtt, ok)
	}
	if _, ok := b.RTT("nobody"); ok {
		t.Error("a round trip to nobody")
	}
}

func TestNewRefuses(t *testing.T) {
	ca := newTestCA(t)
	s := listenLoopback(t, issueIdentity(t, ca, "eu-a", "eu"), nil)
	defer s.config.Packet.Close()
	defer s.config.Stream.Close()
	good := Config{Self: testMember("eu-a", "eu", 1), Identity: s.config.Identity, Secret: testSecret(), Socket: s.Socket, GossipAddr: s.udp}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"another node's certificate": func(c *Config) { c.Self.Node = "eu-b" },
		"no incarnation":             func(c *Config) { c.Self.Incarnation = 0 },
		"no address":                 func(c *Config) { c.Self.QUIC = nil },
		"short secret":               func(c *Config) { c.Secret = c.Secret[:8] },
		"no socket":                  func(c *Config) { c.Socket = nil },
		"no gossip address":          func(c *Config) { c.GossipAddr = netip.AddrPort{} },
		"metadata over 512 bytes": func(c *Config) {
			long := netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
			c.Self.QUIC, c.Self.HTTPS = nil, nil
			for range maxAddresses {
				c.Self.QUIC, c.Self.HTTPS = append(c.Self.QUIC, long), append(c.Self.HTTPS, long)
			}
		},
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
