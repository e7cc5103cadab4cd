package mesh

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// kindApart greets on a connection that is for one stream.
const kindApart = 'A'

// DialApart opens a stream on a connection of its own, which ends with it. What is large would fill the windows of
// congestion and flow control of the pair's connection, and heartbeats would wait behind it.
func (l *raftLayer) DialApart(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = dialTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.mesh.dialApart(ctx, skein.NodeID(address), l.service)
}

func (m *Mesh) dialApart(ctx context.Context, node skein.NodeID, service string) (net.Conn, error) {
	member, ok := m.Member(node)
	if !ok {
		return nil, skein.Fault(skein.CodeUnknownNode, "dial %s: no member of that name", node)
	}
	if member.gone() {
		return nil, fmt.Errorf("dial %s: the node is %s: %w", node, member.Status, net.ErrClosed)
	}
	link, err := m.links.connect(ctx, member, kindApart)
	if err != nil {
		return nil, err
	}
	m.links.add(link)
	if !m.tasks.spawn(func(ctx context.Context) { m.links.serve(ctx, link) }) {
		m.links.drop(link)
		link.conn.CloseWithError(codeClosing, "closing")
		return nil, fmt.Errorf("dial %s: %w", node, net.ErrClosed)
	}
	conn, err := m.openStream(ctx, link, service)
	if err != nil {
		link.conn.CloseWithError(codeRetired, "not used")
		return nil, fmt.Errorf("open %s at %s: %w", service, node, err)
	}
	return &apartConn{Conn: conn, link: link}, nil
}

// add remembers a connection beside that of the pair.
func (s *links) add(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[l] = true
}

// apartConn is the one stream of its connection.
type apartConn struct {
	net.Conn
	link *link
	once sync.Once
}

// Close ends the connection too: what was not acknowledged by then is lost, so that a caller waits for an answer first.
func (c *apartConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.link.conn.CloseWithError(codeRetired, "its stream has ended") })
	return err
}
