package replication

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// fabric is a network in memory: raft streams and the service "group" between nodes of one process.
type fabric struct {
	mu    sync.Mutex
	nodes map[skein.NodeID]*port
	cut   map[skein.NodeID]bool // nodes that reach each other and nobody else, see split
	order []Candidate

	apart atomic.Int32 // streams that asked for a connection of their own
}

type port struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
	serve  func(context.Context, skein.NodeID, net.Conn)
	conns  map[net.Conn]struct{}
	served sync.WaitGroup
}

func newFabric() *fabric {
	return &fabric{nodes: map[skein.NodeID]*port{}, cut: map[skein.NodeID]bool{}}
}

var errDown = errors.New("node is down")

// up attaches a node; its candidate entry becomes healthy.
func (f *fabric) up(node skein.NodeID, zone skein.Zone) *layer {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &port{accept: make(chan net.Conn), closed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	f.nodes[node] = p
	f.judge(Candidate{Node: node, Zone: zone, Healthy: true})
	return &layer{fabric: f, node: node, port: p}
}

func (f *fabric) judge(c Candidate) {
	for i := range f.order {
		if f.order[i].Node == c.Node {
			f.order[i] = c
			return
		}
	}
	f.order = append(f.order, c)
}

// down cuts every stream of a node, and gossip calls it dead.
func (f *fabric) down(node skein.NodeID) {
	f.mu.Lock()
	p := f.nodes[node]
	delete(f.nodes, node)
	for i := range f.order {
		if f.order[i].Node == node {
			f.order[i].Healthy, f.order[i].Gone = false, true
		}
	}
	var conns []net.Conn
	if p != nil {
		for c := range p.conns {
			conns = append(conns, c)
		}
	}
	f.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	if p != nil {
		p.served.Wait()
	}
}

// split cuts some nodes off from the others, which nobody notices by gossip; without any it ends that.
func (f *fabric) split(nodes ...skein.NodeID) {
	f.mu.Lock()
	clear(f.cut)
	for _, node := range nodes {
		f.cut[node] = true
	}
	var across []net.Conn
	for a, p := range f.nodes {
		for c := range p.conns {
			for b, q := range f.nodes {
				if _, shared := q.conns[c]; shared && f.cut[a] != f.cut[b] {
					across = append(across, c)
				}
			}
		}
	}
	f.mu.Unlock()
	for _, c := range across {
		c.Close()
	}
}

// forget takes a node that is down out of what gossip knows.
func (f *fabric) forget(node skein.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = slices.DeleteFunc(f.order, func(c Candidate) bool { return c.Node == node })
}

func (f *fabric) Candidates() []Candidate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Candidate(nil), f.order...)
}

// pair makes a stream between two nodes that are up.
func (f *fabric) pair(from, to skein.NodeID) (a, b net.Conn, p *port, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	src, dst := f.nodes[from], f.nodes[to]
	if src == nil || dst == nil || f.cut[from] != f.cut[to] {
		return nil, nil, nil, errDown
	}
	a, b = net.Pipe()
	for _, x := range []*port{src, dst} {
		x.conns[a], x.conns[b] = struct{}{}, struct{}{}
	}
	return a, b, dst, nil
}

// peers is what one node sees of the fabric.
type peers struct {
	*fabric
	node skein.NodeID
}

func (p peers) Dial(_ context.Context, to skein.NodeID, _ string) (net.Conn, error) {
	a, b, dst, err := p.pair(p.node, to)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	serve := dst.serve
	if serve != nil {
		dst.served.Go(func() { serve(context.Background(), p.node, b) })
	}
	p.mu.Unlock()
	if serve == nil {
		a.Close()
		b.Close()
		return nil, errDown
	}
	return a, nil
}

// layer is the stream layer of one node.
type layer struct {
	fabric *fabric
	node   skein.NodeID
	port   *port
}

func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.port.accept:
		return c, nil
	case <-l.port.closed:
		return nil, net.ErrClosed
	}
}

func (l *layer) Close() error {
	l.port.once.Do(func() { close(l.port.closed) })
	return nil
}

func (l *layer) Addr() net.Addr { return nodeAddr(l.node) }

// DialApart is Dial: connections are not told apart here.
func (l *layer) DialApart(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	l.fabric.apart.Add(1)
	return l.Dial(to, timeout)
}

func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	a, b, dst, err := l.fabric.pair(l.node, skein.NodeID(addr))
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case dst.accept <- b:
		return a, nil
	case <-dst.closed:
	case <-late.C:
	}
	a.Close()
	b.Close()
	return nil, errDown
}
