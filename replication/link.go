package replication

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// A stream of the service "group" begins with one byte that says what it carries. Reads have a stream of their
// own, since they may wait long and must not stand before proposals.
const (
	streamProposals byte = 1
	streamReads     byte = 2
	streamForming   byte = 4 // see standing
	streamHashes    byte = 3 // the answer is a report, and the stream ends
)

const (
	maxCalls     = 1024 // under way on one stream; more are refused as overloaded
	linkIdle     = time.Minute
	dialTimeout  = 2 * time.Second
	writeTimeout = 5 * time.Second
)

// errAbandoned ends a call because another node leads now.
var errAbandoned = errors.New("the leader changed")

// message is a frame of a link: requests and responses carry the same id.
type message interface {
	proto.Message
	GetId() uint64
}

// link is one stream to a node on which many requests are under way.
type link struct {
	conn  net.Conn
	out   chan message
	fresh func() message // an empty response
	ended sync.WaitGroup

	once  sync.Once
	done  chan struct{} // closed when the link has failed
	cause error         // set before done is closed

	mu    sync.Mutex // guards the fields below
	calls map[uint64]chan message
	used  time.Time
}

// startLink runs a link on conn. It ends when the stream fails, is idle for a minute, or is closed.
func startLink(conn net.Conn, kind byte) *link {
	l := &link{conn: conn, out: make(chan message), done: make(chan struct{}), calls: map[uint64]chan message{}, used: time.Now()}
	l.fresh = func() message { return &wire.ProposeResponse{} }
	if kind == streamReads {
		l.fresh = func() message { return &wire.ReadResponse{} }
	}
	l.ended.Go(func() { l.write(kind) })
	l.ended.Go(l.read)
	return l
}

// fail ends the link; the first cause counts.
func (l *link) fail(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.done)
		l.conn.Close()
	})
}

func (l *link) failed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// call sends a request and waits for its response, until ctx is done or abandon is closed. An error means that
// it is not known whether the request was carried out, unless it is skein.ErrOverloaded.
func (l *link) call(ctx context.Context, req message, abandon <-chan struct{}) (message, error) {
	reply := make(chan message, 1)
	if !l.enter(req.GetId(), reply) {
		return nil, skein.Fault(skein.CodeOverloaded, "%d requests are under way", maxCalls)
	}
	defer l.leave(req.GetId())
	out := l.out
	for {
		select {
		case out <- req:
			out = nil
		case resp := <-reply:
			return resp, nil
		case <-l.done:
			return nil, l.cause
		case <-abandon:
			return nil, errAbandoned
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *link) enter(id uint64, reply chan message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) >= maxCalls {
		return false
	}
	l.calls[id] = reply
	l.used = time.Now()
	return true
}

func (l *link) leave(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, id)
	l.used = time.Now()
}

func (l *link) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls) == 0 && time.Since(l.used) >= linkIdle
}

func (l *link) write(kind byte) {
	buf := []byte{kind}
	look := time.NewTicker(linkIdle / 2)
	defer look.Stop()
	for {
		select {
		case m := <-l.out:
			var err error
			if buf, err = gather(buf, m, l.out); err == nil {
				l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
				_, err = l.conn.Write(buf)
			}
			if err != nil {
				l.fail(fmt.Errorf("send: %w", err))
				return
			}
			buf = buf[:0]
		case <-look.C:
			if l.idle() {
				l.fail(errors.New("idle"))
				return
			}
		case <-l.done:
			return
		}
	}
}

// gather frames m and what else is ready, so that they travel in one write.
func gather(buf []byte, m message, more <-chan message) ([]byte, error) {
	for {
		var err error
		if buf, err = wire.AppendFrame(buf, m); err != nil || len(buf) >= maxEntryBytes {
			return buf, err
		}
		select {
		case m = <-more:
		default:
			return buf, nil
		}
	}
}

func (l *link) read() {
	r := bufio.NewReaderSize(l.conn, 32<<10)
	for {
		resp := l.fresh()
		if err := wire.ReadFrame(r, resp, wire.MaxNodeFrame); err != nil {
			l.fail(fmt.Errorf("receive: %w", err))
			return
		}
		l.mu.Lock()
		reply := l.calls[resp.GetId()]
		delete(l.calls, resp.GetId())
		l.mu.Unlock()
		if reply != nil {
			reply <- resp // has room for one
		}
	}
}

// close ends the link and waits for its goroutines.
func (l *link) close() {
	l.fail(net.ErrClosed)
	l.ended.Wait()
}
