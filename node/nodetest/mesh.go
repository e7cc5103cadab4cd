package nodetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/gateway"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/node"
)

// Ports that every simulated node listens on.
const (
	portClient = 8443
	portDNS    = 8053
	portAdmin  = 8080
	portGossip = 7946
	portGlobal = 7947
)

// Service is the name that the simulated mesh serves.
const Service = "assistant.skein.test"

// Mesh is a set of simulated nodes. Its methods belong to the test's goroutine.
type Mesh struct {
	Net   *Net
	setup func(*node.Config)
	t     testing.TB
	dir   string
	roots *x509.CertPool
	token ed25519.PrivateKey
	nodes []*Process
	hosts byte // clients made so far
}

// Process is one simulated node: what outlives its runs.
type Process struct {
	ID     skein.NodeID
	Region skein.Region
	Zone   skein.Zone
	Addr   netip.Addr

	cfg  node.Config
	node *node.Node
	stop context.CancelFunc // nil: it does not run
	done chan struct{}      // closed when the newest run has ended
	err  error              // of that run, set before done is closed
}

// New lays out a mesh, "eu=a,a,b,b,c,c;us=a,b,c", and starts every node. Call it inside a synctest bubble; Close ends all.
func New(t testing.TB, layout string, seed uint64) *Mesh {
	t.Helper()
	return NewWith(t, layout, seed, func(*node.Config) {})
}

// NewWith is New with a function that may change each node's configuration before each of its runs.
func NewWith(t testing.TB, layout string, seed uint64, setup func(*node.Config)) *Mesh {
	t.Helper()
	t.Logf("seed %d", seed)
	m := &Mesh{Net: NewNet(seed), setup: setup, t: t, dir: t.TempDir()}
	ca, err := mesh.NewCA("nodetest")
	m.must(err)
	m.keys(ca)
	for r, part := range strings.Split(layout, ";") {
		region, zones, _ := strings.Cut(part, "=")
		count := make(map[string]int)
		for i, zone := range strings.Split(zones, ",") {
			count[zone]++
			p := &Process{
				ID: skein.NodeID(fmt.Sprintf("%s-%s-%d", region, zone, count[zone])), Region: skein.Region(region), Zone: skein.Zone(zone),
				Addr: netip.AddrFrom4([4]byte{10, 0, byte(r + 1), byte(i + 1)}),
			}
			m.issue(ca, p)
			m.nodes = append(m.nodes, p)
		}
	}
	for _, p := range m.nodes {
		m.configure(p)
	}
	for _, p := range m.nodes {
		m.Start(p.ID)
	}
	return m
}

func (m *Mesh) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *Mesh) write(name string, data []byte) string {
	path := filepath.Join(m.dir, name)
	m.must(os.MkdirAll(filepath.Dir(path), 0o700))
	m.must(os.WriteFile(path, data, 0o600))
	return path
}

func (m *Mesh) keys(ca *mesh.CA) {
	cert, _ := ca.PEM()
	m.write("ca.pem", cert)
	m.roots = x509.NewCertPool()
	m.roots.AppendCertsFromPEM(cert)
	m.write("secret", bytes.Repeat([]byte("nodetest"), 8))
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	m.must(err)
	m.token = priv
	der, err := x509.MarshalPKIXPublicKey(pub)
	m.must(err)
	m.write("token.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (m *Mesh) issue(ca *mesh.CA, p *Process) {
	cert, key, err := ca.IssueNode(mesh.NodeRequest{Node: p.ID, Region: p.Region, Zone: p.Zone, Days: 30})
	m.must(err)
	m.write(string(p.ID)+"/node.pem", cert)
	m.write(string(p.ID)+"/node.key", key)
	cert, key, err = ca.IssueService(mesh.ServiceRequest{Names: []string{Service}, IPs: []netip.Addr{p.Addr}, Days: 30})
	m.must(err)
	m.write(string(p.ID)+"/service.pem", cert)
	m.write(string(p.ID)+"/service.key", key)
}

func (m *Mesh) configure(p *Process) {
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(p.Addr, port) }
	file := func(name string) string { return filepath.Join(m.dir, string(p.ID), name) }
	p.cfg = node.Config{
		Node: p.ID, Region: p.Region, Zone: p.Zone, Dir: file("data"), Service: Service,
		Listen: node.Listen{Client: at(portClient), DNS: at(portDNS), Admin: at(portAdmin), Gossip: at(portGossip), Global: at(portGlobal)},
		Files: node.Files{
			CA: filepath.Join(m.dir, "ca.pem"), Cert: file("node.pem"), Key: file("node.key"), ServiceCert: file("service.pem"),
			ServiceKey: file("service.key"), Secret: filepath.Join(m.dir, "secret"), TokenKey: filepath.Join(m.dir, "token.pem"),
		},
		Drain: time.Second,
	}
	if os.Getenv("SKEIN_TEST_LOG") != "" {
		p.cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("at", p.ID)
	}
	zones := make(map[skein.Zone]bool)
	for _, q := range m.nodes {
		if q.Region != p.Region {
			p.cfg.Abroad = append(p.cfg.Abroad, netip.AddrPortFrom(q.Addr, portGlobal))
			continue
		}
		if q != p {
			p.cfg.Seeds = append(p.cfg.Seeds, netip.AddrPortFrom(q.Addr, portGossip))
		}
		if !zones[q.Zone] && len(p.cfg.Voters) < 3 {
			zones[q.Zone] = true
			p.cfg.Voters = append(p.cfg.Voters, q.ID)
		}
	}
}

func (m *Mesh) process(id skein.NodeID) *Process {
	m.t.Helper()
	for _, p := range m.nodes {
		if p.ID == id {
			return p
		}
	}
	m.t.Fatalf("no node %s", id)
	return nil
}

// Start runs a node that is not running; one that was killed has to end first.
func (m *Mesh) Start(id skein.NodeID) {
	m.t.Helper()
	p := m.process(id)
	if p.done != nil {
		<-p.done
	}
	m.Net.Revive(p.Addr)
	host := m.Net.Host(p.Addr)
	p.cfg.Network = host
	region, err := NewGossip(host, portGossip)
	m.must(err)
	global, err := NewGossip(host, portGlobal)
	m.must(err)
	p.cfg.RegionGossip, p.cfg.GlobalGossip = region, global
	m.setup(&p.cfg)
	p.node, err = node.New(p.cfg)
	m.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.done = cancel, make(chan struct{})
	go func() {
		defer close(p.done)
		p.err = p.node.Run(ctx)
		region.Shutdown()
		global.Shutdown()
	}()
}

// Kill takes the node off the network in an instant, as SIGKILL does; its goroutines end by and by, and Start waits for
// them. What it had not synced by then it may still sync: power loss is another test's business.
func (m *Mesh) Kill(id skein.NodeID) {
	p := m.process(id)
	m.Net.Kill(p.Addr)
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// Stop ends the node in order.
func (m *Mesh) Stop(id skein.NodeID) { m.end(m.process(id)) }

func (m *Mesh) end(p *Process) {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
	<-p.done
}

// Close ends every node, and lets the time pass that memberlist's last probes need: it does not wait for them, and the
// clock of a bubble stands still once the test has returned.
func (m *Mesh) Close() {
	done := make(chan struct{})
	for _, p := range m.nodes {
		go func() { m.end(p); done <- struct{}{} }()
	}
	for range m.nodes {
		<-done
	}
	time.Sleep(time.Minute)
}

// Running lists the nodes that run.
func (m *Mesh) Running() []*Process {
	var out []*Process
	for _, p := range m.nodes {
		if p.stop != nil {
			out = append(out, p)
		}
	}
	return out
}

// Node is the present run of a node.
func (m *Mesh) Node(id skein.NodeID) *node.Node { return m.process(id).node }

// CutZone cuts a zone of a region off from everything else; Net.Cut(nil) heals.
func (m *Mesh) CutZone(region skein.Region, zone skein.Zone) {
	inside := make(map[netip.Addr]bool)
	for _, p := range m.nodes {
		if p.Region == region && p.Zone == zone {
			inside[p.Addr] = true
		}
	}
	m.Net.Cut(func(from, to netip.Addr) bool { return inside[from] != inside[to] })
}

// Leader waits for the nodes that run to agree on who leads the groups of a region, and gives the leader of the first.
func (m *Mesh) Leader(region skein.Region) skein.NodeID { return m.Leaders(region)[0] }

// Leaders is Leader for all groups, by their numbers.
func (m *Mesh) Leaders(region skein.Region) []skein.NodeID {
	m.t.Helper()
	var leaders []skein.NodeID
	m.Eventually("leaders of "+string(region), time.Minute, func() bool {
		leaders = nil
		for _, p := range m.Running() {
			if p.Region != region {
				continue
			}
			seen := p.leaders()
			if leaders != nil && !slices.Equal(seen, leaders) {
				return false
			}
			leaders = seen
		}
		return len(leaders) > 0 && !slices.ContainsFunc(leaders, func(l skein.NodeID) bool { return l == "" || m.process(l).stop == nil })
	})
	return leaders
}

// leaders are those that a node knows of, by the number of the group; an empty name stands for none.
func (p *Process) leaders() (out []skein.NodeID) {
	for _, g := range p.node.Region().Groups() {
		leader, _ := g.Leader()
		out = append(out, leader)
	}
	return out
}

// Eventually looks every 20 ms of virtual time until f holds, and fails the test after the limit.
func (m *Mesh) Eventually(what string, limit time.Duration, f func() bool) {
	m.t.Helper()
	for end := time.Now().Add(limit); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("no %s within %v", what, limit)
		}
	}
}

// Client makes a client on a host of its own, which knows the nodes of a region. The caller closes it.
func (m *Mesh) Client(region skein.Region, onMove func(client.Move)) *client.Client {
	m.t.Helper()
	m.hosts++
	host := m.Net.Host(netip.AddrFrom4([4]byte{10, 0, 200, m.hosts}))
	var nodes []client.Node
	for _, p := range m.nodes {
		if p.Region == region {
			nodes = append(nodes, client.Node{ID: p.ID, Region: p.Region, Zone: p.Zone, QUIC: netip.AddrPortFrom(p.Addr, portClient)})
		}
	}
	token, err := gateway.SignToken(m.token, gateway.Claims{Subject: "ann", Audience: Service, Expires: time.Now().Add(24 * time.Hour)})
	m.must(err)
	c, err := client.Dial(context.Background(), client.Config{
		Service: Service, Nodes: nodes, Roots: m.roots, OnMove: onMove,
		Token:      func(context.Context) (string, error) { return token, nil },
		DialPacket: func() (net.PacketConn, error) { return host.ListenPacket(netip.AddrPort{}) },
	})
	m.must(err)
	return c
}
