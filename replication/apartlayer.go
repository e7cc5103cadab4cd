package replication

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// apartDialer is a layer that can give a stream a connection of its own, see mesh.
type apartDialer interface {
	DialApart(to raft.ServerAddress, timeout time.Duration) (net.Conn, error)
}

// apartLayer dials streams that have a connection of their own. They are accepted where all others are.
type apartLayer struct {
	raft.StreamLayer
	dialer apartDialer
	once   sync.Once
	done   chan struct{}
}

// Dial opens a stream with a connection of its own.
func (l *apartLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.dialer.DialApart(to, timeout)
}

// Accept waits for Close.
func (l *apartLayer) Accept() (net.Conn, error) {
	<-l.done
	return nil, net.ErrClosed
}

// Close ends Accept and leaves the layer beneath to its owner.
func (l *apartLayer) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// apartTransport is the library's transport for snapshots alone: one connection has one congestion window, in which
// heartbeats would wait behind a snapshot.
type apartTransport struct {
	*raft.NetworkTransport
	layer *trackedLayer
}

// newApartTransport gives nil where the layer cannot give streams connections of their own.
func newApartTransport(g *Group) *apartTransport {
	d, ok := g.cfg.Layer.(apartDialer)
	if !ok {
		return nil
	}
	layer := newTrackedLayer(&epochLayer{&apartLayer{StreamLayer: g.cfg.Layer, dialer: d, done: make(chan struct{})}, g}, g.cfg.Node)
	return &apartTransport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: 1, Timeout: rpcTimeout, Logger: g.raftLog, MaxRPCsInFlight: 1,
	}), layer}
}

func (t *apartTransport) shut() {
	t.NetworkTransport.Close()
	t.layer.shut()
}

// carrier is what carries snapshots.
func (t *transport) carrier() *raft.NetworkTransport {
	if t.apart != nil {
		return t.apart.NetworkTransport
	}
	return t.NetworkTransport
}
