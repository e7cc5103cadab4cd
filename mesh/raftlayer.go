package mesh

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// RaftLayer gives the streams of service as raft wants them; a server's address is its node's name. Nodes
// of other regions are refused. Call it before Run.
func (m *Mesh) RaftLayer(service string) raft.StreamLayer {
	l := &raftLayer{mesh: m, service: service, conns: make(chan net.Conn), done: make(chan struct{})}
	m.HandleRegion(service, l.handle)
	return l
}

type raftLayer struct {
	mesh    *Mesh
	service string
	conns   chan net.Conn
	done    chan struct{}
	once    sync.Once
}

// handle hands a stream to Accept and stays until raft has closed it.
func (l *raftLayer) handle(ctx context.Context, _ skein.NodeID, conn net.Conn) {
	held := &heldConn{Conn: conn, closed: make(chan struct{})}
	select {
	case l.conns <- held:
	case <-l.done:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-held.closed:
	case <-l.done:
	case <-ctx.Done():
	}
}

// Accept waits for the next stream; after Close it returns net.ErrClosed.
func (l *raftLayer) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and the streams that it gave.
func (l *raftLayer) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is this node's name.
func (l *raftLayer) Addr() net.Addr { return nodeAddr(l.mesh.config.Self.Node) }

// Dial opens a stream to the node that address names.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = dialTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.mesh.Dial(ctx, skein.NodeID(address), l.service)
}

// heldConn tells when it is closed.
type heldConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *heldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
