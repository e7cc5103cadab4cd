package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// Every stream between replicas, and from other nodes to them, begins with a hello and its answer: a letter with the
// version, a greeting (0 in the hello), the epoch of the state, and the highest epoch heard of, both big endian.
const (
	helloVersion = 'A'
	helloSize    = 2 + 8 + 8
)

var errEpoch = errors.New("cluster epochs differ")

func (h hello) encode(v greeting) []byte {
	buf := binary.BigEndian.AppendUint64([]byte{helloVersion, byte(v)}, h.at)
	return binary.BigEndian.AppendUint64(buf, h.least)
}

func readHello(r io.Reader) (h hello, v greeting, err error) {
	var buf [helloSize]byte
	if _, err := io.ReadFull(r, buf[:]); err != nil {
		return h, 0, err
	}
	if buf[0] != helloVersion {
		return h, 0, skein.Fault(skein.CodeVersion, "a stream begins with %q, want %q: are all nodes of one build?", buf[0], helloVersion)
	}
	return hello{binary.BigEndian.Uint64(buf[2:]), binary.BigEndian.Uint64(buf[10:])}, greeting(buf[1]), nil
}

// greet says hello on a stream that was dialled. An error means that the stream is not to be used; it is closed.
func (g *Group) greet(conn net.Conn, within time.Duration) (net.Conn, error) {
	err := g.greeted(conn, within)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (g *Group) greeted(conn net.Conn, within time.Duration) error {
	conn.SetDeadline(time.Now().Add(within))
	ours := g.epochs.hello()
	if _, err := conn.Write(ours.encode(0)); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	theirs, v, err := readHello(conn)
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if g.epochs.hear(theirs) {
		g.outlived()
	}
	switch {
	case v != agreed:
		return fmt.Errorf("%w: %d here, %d there", errEpoch, ours.at, theirs.at)
	case theirs.at != 0 && theirs.at < max(ours.at, ours.least):
		return fmt.Errorf("%w: %d was heard of, %d is there", errEpoch, ours.least, theirs.at)
	}
	return conn.SetDeadline(time.Time{})
}

// outlived ends this replica: the group has gone on without it in a newer epoch. Its next start sets the state aside, so that
// nothing is lost, and joins the others with none.
func (g *Group) outlived() {
	if g.outcast.Swap(true) {
		return
	}
	at, least := g.epochs.get()
	g.log.Error("this replica is of an older cluster epoch: the group was recovered, or restored from a backup, without it",
		"epoch", at, "newer", least)
	err := g.epochs.set(at, least)
	g.fatal(errors.Join(fmt.Errorf("group %d: cluster epoch %d is over, %d has begun: %w", g.cfg.Group, at, least, ErrReopen), err))
}

// helloConn is an accepted stream: its first Read takes in the hello and answers it.
type helloConn struct {
	net.Conn
	group *Group
	feeds bool // it brings entries, snapshots and votes

	once sync.Once
	err  error
}

// Read gives what comes behind the hello.
func (c *helloConn) Read(p []byte) (int, error) {
	c.once.Do(func() { c.err = c.answer() })
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

func (c *helloConn) answer() error {
	theirs, _, err := readHello(c.Conn)
	if err != nil {
		return err
	}
	v, err := c.group.epochs.meet(theirs, c.feeds)
	if err != nil {
		c.group.fatal(err)
		return err
	}
	c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err = c.Conn.Write(c.group.epochs.hello().encode(v))
	if v == behind {
		c.group.outlived()
	}
	if v != agreed {
		c.Conn.Close()
		return fmt.Errorf("%w: a stream of %d is refused", errEpoch, theirs.at)
	}
	return errors.Join(err, c.Conn.SetWriteDeadline(time.Time{}))
}

// epochLayer says hello on the library's streams.
type epochLayer struct {
	raft.StreamLayer
	group *Group
}

// Dial opens a stream to a replica of the same epoch.
func (l *epochLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	began := time.Now()
	conn, err := l.StreamLayer.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	return l.group.greet(conn, max(timeout-time.Since(began), time.Millisecond))
}

// Accept gives a stream that answers the hello once it is read from.
func (l *epochLayer) Accept() (net.Conn, error) {
	conn, err := l.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return &helloConn{Conn: conn, group: l.group, feeds: true}, nil
}

// epochPeers says hello on the streams of the service.
type epochPeers struct {
	Peers
	group *Group
}

// Dial satisfies Peers.
func (p epochPeers) Dial(ctx context.Context, node skein.NodeID, service string) (net.Conn, error) {
	conn, err := p.Peers.Dial(ctx, node, service)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	return p.group.greet(conn, dialTimeout)
}
