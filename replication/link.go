package replication

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

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
	maxCalls     = 1024                       // under way on one stream; more are refused as overloaded
	callAtMost   = waitAtMost + 5*time.Second // for a response; a replica that lives answers sooner
	linkIdle     = time.Minute
	lookEvery    = 5 * time.Second
	dialTimeout  = 2 * time.Second
	writeTimeout = 5 * time.Second
)

var (
	errAbandoned = errors.New("the leader changed") // ends a call, since another node leads now
	errNoAnswer  = errors.New("no answer")
)

// link is one stream to a node on which many requests are under way.
type link struct {
	conn  net.Conn
	out   *outbox
	ended sync.WaitGroup

	once  sync.Once
	done  chan struct{} // closed when the link has failed
	cause error         // set before done is closed

	mu    sync.Mutex // guards the fields below
	calls map[uint64]waiter
	used  time.Time
}

// waiter is a call that waits for its response.
type waiter struct {
	to    chan<- reply // has room for one
	since time.Time
}

// reply is the body of a response, or why there is none.
type reply struct {
	body []byte
	err  error
}

// startLink runs a link on conn. It ends when the stream fails, is idle for a minute, or is closed.
func startLink(conn net.Conn, kind byte) *link {
	l := &link{conn: conn, out: newOutbox(), done: make(chan struct{}), calls: map[uint64]waiter{}, used: time.Now()}
	l.ended.Go(func() { l.write(kind) })
	l.ended.Go(l.read)
	return l
}

// fail ends the link and every call; the first cause counts.
func (l *link) fail(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.done)
		l.conn.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for id, w := range l.calls {
			w.to <- reply{err: cause}
			delete(l.calls, id)
		}
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

// call sends the request that f appends and waits for the body of its response, until ctx is done or abandon is closed.
// An error means that it is not known whether the request was carried out, unless it is skein.ErrOverloaded.
func (l *link) call(ctx context.Context, id uint64, f appender, abandon <-chan struct{}) ([]byte, error) {
	answer := make(chan reply, 1)
	if err := l.enter(id, answer); err != nil {
		return nil, err
	}
	defer l.leave(id)
	if room, err := l.out.add(f); err != nil {
		return nil, err
	} else if !room {
		return nil, skein.Fault(skein.CodeOverloaded, "%d bytes of requests wait", maxWaiting)
	}
	select {
	case r := <-answer:
		return r.body, r.err
	case <-abandon:
		return nil, errAbandoned
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *link) enter(id uint64, answer chan<- reply) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed() {
		return l.cause
	}
	if len(l.calls) >= maxCalls {
		return skein.Fault(skein.CodeOverloaded, "%d requests are under way", maxCalls)
	}
	l.used = time.Now()
	l.calls[id] = waiter{answer, l.used}
	return nil
}

func (l *link) leave(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, id)
}

// look ends calls that have waited for too long, and reports whether nobody has needed the link for linkIdle.
func (l *link) look() (idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for id, w := range l.calls {
		if now.Sub(w.since) > callAtMost {
			w.to <- reply{err: errNoAnswer}
			delete(l.calls, id)
		}
	}
	return len(l.calls) == 0 && now.Sub(l.used) >= linkIdle
}

func (l *link) write(kind byte) {
	if _, err := l.conn.Write([]byte{kind}); err != nil {
		l.fail(fmt.Errorf("send: %w", err))
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-l.out.wake:
			buf, _ := l.out.take()
			l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := l.conn.Write(buf); err != nil {
				l.fail(fmt.Errorf("send: %w", err))
				return
			}
		case <-look.C:
			if l.look() {
				l.fail(errors.New("idle"))
				return
			}
		case <-l.done:
			return
		}
	}
}

func (l *link) read() {
	r := bufio.NewReaderSize(l.conn, 32<<10)
	for {
		body, err := wire.ReadBody(r, wire.MaxNodeFrame)
		var id uint64
		if err == nil {
			id, err = idOf(body)
		}
		if err != nil {
			l.fail(fmt.Errorf("receive: %w", err))
			return
		}
		l.mu.Lock()
		if w, ok := l.calls[id]; ok {
			delete(l.calls, id)
			w.to <- reply{body: body}
		}
		l.mu.Unlock()
	}
}

// close ends the link and waits for its goroutines.
func (l *link) close() {
	l.fail(net.ErrClosed)
	l.ended.Wait()
}
