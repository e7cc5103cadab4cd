package client

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"
	"go.uber.org/goleak"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const service = "assistant.skein.test"

// fakeNet carries packets of a simulated network with a fixed latency; addresses can be cut off.
type fakeNet struct {
	latency time.Duration
	mu      sync.Mutex
	nodes   map[string]simnet.PacketReceiver
	cut     map[string]bool
	clients int
}

func (n *fakeNet) AddNode(a net.Addr, r simnet.PacketReceiver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[a.String()] = r
}

func (n *fakeNet) SendPacket(p simnet.Packet) error {
	time.AfterFunc(n.latency, func() {
		n.mu.Lock()
		to := n.nodes[p.To.String()]
		if n.cut[p.To.String()] || n.cut[p.From.String()] {
			to = nil
		}
		n.mu.Unlock()
		if to != nil {
			to.RecvPacket(p)
		}
	})
	return nil
}

func (n *fakeNet) setCut(a netip.AddrPort, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()] = cut
}

func (n *fakeNet) dial() (net.PacketConn, error) {
	n.mu.Lock()
	n.clients++
	port := 40000 + n.clients
	n.mu.Unlock()
	return simnet.NewSimConn(&net.UDPAddr{IP: net.IPv4(10, 9, 9, 9), Port: port}, n), nil
}

// fakeMesh is what the nodes share: the group's state, in which every piece is committed once.
type fakeMesh struct {
	t     *testing.T
	net   *fakeNet // nil: loopback
	roots *x509.CertPool
	cert  tls.Certificate
	keys  [32]byte
	nodes []*fakeNode
	wg    sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]bool
	runs     map[skein.TurnID]*fakeRun
	marks    map[string]uint64
	seq      uint64
	opens    []*wire.Open
	turns    []string // "node id offset", in the order of arrival
}

// fakeRun is one turn: the reply grows with time, whoever looks at it.
type fakeRun struct {
	text, reply string
	began       time.Time
	each        time.Duration // per byte
}

func (r *fakeRun) committed() string {
	n := len(r.reply)
	if r.each > 0 {
		n = min(n, int(time.Since(r.began)/r.each))
	}
	return r.reply[:n]
}

// fakeNode is a node with faults to order.
type fakeNode struct {
	mesh *fakeMesh
	Node
	pc     net.PacketConn
	tr     *quic.Transport
	ln     *quic.EarlyListener
	cancel context.CancelFunc

	mu      sync.Mutex
	mute    bool          // reads, and says nothing any more
	refuse  []*wire.Error // for the next turns
	twice   bool          // sends every piece twice, overlapping
	hole    bool          // leaves the first piece out
	forge   bool          // sends other text from byte 0 on
	early   bool          // closes the stream after accepting
	streams map[*quic.Stream]func(*wire.ServerFrame) error
}

func newMesh(t *testing.T, n *fakeNet, zones ...string) *fakeMesh {
	m := &fakeMesh{t: t, net: n, sessions: map[string]bool{}, runs: map[skein.TurnID]*fakeRun{}, marks: map[string]uint64{}}
	m.cert, m.roots = certificate(t)
	rand.Read(m.keys[:])
	for i, z := range zones {
		m.start(fmt.Sprintf("eu-%s%d", z, i+1), z, i)
	}
	t.Cleanup(func() {
		for _, node := range m.nodes {
			node.stop()
		}
		m.wg.Wait()
	})
	return m
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{service}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func (m *fakeMesh) start(id, zone string, i int) {
	var pc net.PacketConn
	if m.net != nil {
		pc = simnet.NewSimConn(&net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(i+1)), Port: 8443}, m.net)
	} else {
		var err error
		if pc, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			m.t.Fatal(err)
		}
	}
	conf := &tls.Config{Certificates: []tls.Certificate{m.cert}, NextProtos: []string{wire.ALPNClient}}
	conf.SetSessionTicketKeys([][32]byte{m.keys})
	tr := &quic.Transport{Conn: pc, TokenGeneratorKey: (*quic.TokenGeneratorKey)(&m.keys)}
	ln, err := tr.ListenEarly(conf, &quic.Config{Allow0RTT: true, MaxIdleTimeout: 15 * time.Second})
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &fakeNode{
		mesh: m, pc: pc, tr: tr, ln: ln, cancel: cancel, streams: map[*quic.Stream]func(*wire.ServerFrame) error{},
		Node: Node{ID: skein.NodeID(id), Region: "eu", Zone: skein.Zone(zone), QUIC: pc.LocalAddr().(*net.UDPAddr).AddrPort()},
	}
	m.mu.Lock()
	m.nodes = append(m.nodes, n)
	m.mu.Unlock()
	m.wg.Go(func() { n.accept(ctx) })
}

// kill closes the socket: nothing is said to anybody.
func (n *fakeNode) kill() { n.pc.Close() }

func (n *fakeNode) stop() {
	n.cancel()
	n.ln.Close()
	n.tr.Close()
	n.pc.Close()
}

func (n *fakeNode) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *fakeNode) accept(ctx context.Context) {
	for {
		conn, err := n.ln.Accept(ctx)
		if err != nil {
			return
		}
		n.mesh.wg.Go(func() {
			defer conn.CloseWithError(0, "")
			for {
				st, err := conn.AcceptStream(ctx)
				if err != nil {
					return
				}
				n.mesh.wg.Go(func() { n.serve(ctx, st) })
			}
		})
	}
}

func (n *fakeNode) serve(ctx context.Context, st *quic.Stream) {
	ctx, cancel := context.WithCancel(ctx)
	var turns sync.WaitGroup
	defer func() {
		cancel()
		turns.Wait()
		n.set(func() { delete(n.streams, st) })
		st.CancelRead(0)
		st.Close()
	}()
	var wmu sync.Mutex
	send := func(f *wire.ServerFrame) error {
		wmu.Lock()
		defer wmu.Unlock()
		var mute bool
		if n.set(func() { mute = n.mute }); mute {
			return nil
		}
		return wire.WriteFrame(st, f)
	}
	n.set(func() { n.streams[st] = send })
	r := bufio.NewReader(st)
	for {
		f := &wire.ClientFrame{}
		if wire.ReadFrame(r, f, wire.MaxClientFrame) != nil {
			return
		}
		switch b := f.Body.(type) {
		case *wire.ClientFrame_Open:
			if !n.open(b.Open, send) {
				return
			}
		case *wire.ClientFrame_Turn:
			turns.Go(func() { n.turn(ctx, st, b.Turn, send) })
		case *wire.ClientFrame_History:
			send(&wire.ServerFrame{Body: &wire.ServerFrame_History{History: n.mesh.history()}})
		}
	}
}

func (n *fakeNode) open(o *wire.Open, send func(*wire.ServerFrame) error) bool {
	m := n.mesh
	name := o.Session
	if !strings.Contains(name, "~") {
		name = "eu~" + name
	}
	m.mu.Lock()
	m.opens = append(m.opens, o)
	known := m.sessions[name]
	if o.Create {
		m.sessions[name] = true
	}
	high, seq := m.marks[o.Client], m.seq
	m.mu.Unlock()
	if !known && !o.Create {
		send(errorFrame(nil, skein.CodeUnknownSession, 0))
		return false
	}
	if o.Token == "bad" {
		send(errorFrame(nil, skein.CodeUnauthenticated, 0))
		return false
	}
	send(&wire.ServerFrame{Body: &wire.ServerFrame_Opened{Opened: &wire.Opened{
		Session: name, Seq: seq, Gateway: string(n.ID), Created: !known, HighWater: high,
	}}})
	send(&wire.ServerFrame{Body: &wire.ServerFrame_Peers{Peers: &wire.Peers{Peers: m.peers()}}})
	return true
}

func (m *fakeMesh) peers() (list []*wire.Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.nodes {
		list = append(list, &wire.Peer{Node: string(n.ID), Region: "eu", Zone: string(n.Zone), Addresses: []string{n.QUIC.String()}})
	}
	return list
}

func (m *fakeMesh) history() *wire.History {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &wire.History{}
	for id, r := range m.runs {
		h.Events = append(h.Events, &wire.HistoryEvent{Seq: 1, Kind: "accepted", Id: wire.Ref(id), Text: r.text})
	}
	return h
}

func errorFrame(id *wire.TurnRef, code skein.Code, after time.Duration) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: &wire.Error{Code: uint32(code), Id: id, RetryAfterMs: uint64(after.Milliseconds())}}}
}

// run finds or starts the turn. A message "slow N" gets N bytes, one each 10 ms; any other is echoed.
func (m *fakeMesh) run(n *fakeNode, t *wire.Turn) (*fakeRun, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	m.turns = append(m.turns, fmt.Sprintf("%s %s %d", n.ID, t.Id.TurnID(), t.Offset))
	id := t.Id.TurnID()
	if m.runs[id] == nil {
		r := &fakeRun{text: t.Text, reply: "echo " + t.Text, began: time.Now()}
		var size int
		if _, err := fmt.Sscanf(t.Text, "slow %d", &size); err == nil {
			r.reply, r.each = story(size), 10*time.Millisecond
		}
		m.runs[id] = r
		m.marks[t.Id.Client] = max(m.marks[t.Id.Client], t.Id.Counter)
	}
	return m.runs[id], m.seq
}

// story is text in which every byte tells its place.
func story(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

func (n *fakeNode) turn(ctx context.Context, st *quic.Stream, t *wire.Turn, send func(*wire.ServerFrame) error) {
	var refuse *wire.Error
	var twice, hole, forge, early bool
	n.set(func() {
		if len(n.refuse) > 0 {
			refuse, n.refuse = n.refuse[0], n.refuse[1:]
		}
		twice, hole, forge, early = n.twice, n.hole, n.forge, n.early
		n.hole, n.early = false, false
	})
	if refuse != nil {
		if refuse.Id == nil && refuse.Detail != "stream" {
			refuse.Id = t.Id
		}
		send(&wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: refuse}})
		if refuse.Id == nil {
			st.CancelRead(0)
		}
		return
	}
	r, seq := n.mesh.run(n, t)
	where := &wire.Where{Node: string(n.ID), Region: "eu", Zone: string(n.Zone)}
	send(&wire.ServerFrame{Body: &wire.ServerFrame_Accepted{Accepted: &wire.Accepted{Id: t.Id, Seq: seq, Attempt: 1, Where: where}}})
	if early {
		st.CancelRead(0)
		st.CancelWrite(7)
		return
	}
	sent := int(t.Offset)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text := r.committed()
		from := min(sent, len(text))
		switch {
		case forge:
			send(piece(t.Id, 0, strings.Repeat("x", len(text))))
		case hole && len(text) > from+1:
			send(piece(t.Id, from+1, text[from+1:]))
		case twice:
			send(piece(t.Id, max(from-3, 0), text[max(from-3, 0):]))
			send(piece(t.Id, from, text[from:]))
		default:
			send(piece(t.Id, from, text[from:])) // empty: a sign of life
		}
		sent = len(text)
		if len(text) == len(r.reply) {
			send(&wire.ServerFrame{Body: &wire.ServerFrame_Completed{Completed: &wire.Completed{
				Id: t.Id, Seq: seq + 1, Reply: r.reply, Attempt: 1, Source: "echo", Where: where, Gateway: string(n.ID),
			}}})
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func piece(id *wire.TurnRef, at int, text string) *wire.ServerFrame {
	return &wire.ServerFrame{Body: &wire.ServerFrame_Piece{Piece: &wire.Piece{Id: id, Seq: 1, Offset: uint64(at), Text: text, Attempt: 1}}}
}

// goAway tells every stream of the node to leave.
func (n *fakeNode) goAway() {
	n.mu.Lock()
	sends := make([]func(*wire.ServerFrame) error, 0, len(n.streams))
	for _, s := range n.streams {
		sends = append(sends, s)
	}
	n.mu.Unlock()
	for _, s := range sends {
		s(&wire.ServerFrame{Body: &wire.ServerFrame_GoAway{GoAway: &wire.GoAway{Reason: "drain", Peers: n.mesh.peers()}}})
	}
}

func (m *fakeMesh) node(id skein.NodeID) *fakeNode {
	for _, n := range m.nodes {
		if n.ID == id {
			return n
		}
	}
	m.t.Fatalf("no node %q", id)
	return nil
}

// config lists the nodes without telling their names or zones: the client learns them.
func (m *fakeMesh) config(moves chan Move) Config {
	cfg := Config{Service: service, Roots: m.roots, Instance: "test", OnMove: func(mv Move) { moves <- mv }}
	if m.net != nil {
		cfg.DialPacket = m.net.dial
	}
	for _, n := range m.nodes {
		cfg.Nodes = append(cfg.Nodes, Node{QUIC: n.QUIC})
	}
	return cfg
}
