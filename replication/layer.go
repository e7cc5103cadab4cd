package replication

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// trackedLayer counts the streams of a layer, so that a stopping group can close them and wait for those who
// read from them; the library's transport does neither.
type trackedLayer struct {
	raft.StreamLayer
	node skein.NodeID

	mu       sync.Mutex // guards the fields below
	conns    map[*trackedConn]struct{}
	closed   bool
	accepted sync.WaitGroup // streams whose handler has not let go
	once     sync.Once      // of closing the layer beneath
}

func newTrackedLayer(inner raft.StreamLayer, node skein.NodeID) *trackedLayer {
	return &trackedLayer{StreamLayer: inner, node: node, conns: map[*trackedConn]struct{}{}}
}

// nodeAddr is the address of a node in its own and everybody's configuration: its id.
type nodeAddr skein.NodeID

func (nodeAddr) Network() string  { return "skein" }
func (a nodeAddr) String() string { return string(a) }

func (l *trackedLayer) Addr() net.Addr { return nodeAddr(l.node) }

func (l *trackedLayer) Accept() (net.Conn, error) {
	conn, err := l.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return l.track(conn, true)
}

func (l *trackedLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := l.StreamLayer.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return l.track(conn, false)
}

func (l *trackedLayer) track(conn net.Conn, accepted bool) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	c := &trackedConn{Conn: conn, layer: l, accepted: accepted}
	l.conns[c] = struct{}{}
	if accepted {
		l.accepted.Add(1)
	}
	return c, nil
}

// shut closes the layer and every stream; wait then waits for the handlers of accepted ones.
func (l *trackedLayer) shut() {
	l.mu.Lock()
	l.closed = true
	conns := make([]*trackedConn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	l.Close()
	for _, c := range conns {
		c.Conn.Close()
	}
}

// Close ends Accept.
func (l *trackedLayer) Close() (err error) {
	l.once.Do(func() { err = l.StreamLayer.Close() })
	return err
}

func (l *trackedLayer) wait() { l.accepted.Wait() }

type trackedConn struct {
	net.Conn
	layer    *trackedLayer
	accepted bool
	once     sync.Once
}

func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.layer.mu.Lock()
		delete(c.layer.conns, c)
		c.layer.mu.Unlock()
		if c.accepted {
			c.layer.accepted.Done()
		}
	})
	return err
}
