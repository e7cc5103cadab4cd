package replication

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/skein-mesh/skein"
)

// line is one end of a stream.
type line struct {
	w             *weather
	local, remote skein.NodeID
	in, out       *lane
	peer          *line

	mu      sync.Mutex // guards the fields below
	until   [2]time.Time
	changed chan struct{} // closed when a deadline moves or the line ends
	err     error
}

// lane is one direction of a stream.
type lane struct {
	mu     sync.Mutex // guards the fields below
	pieces []piece
	bytes  int
	last   time.Time // when the newest piece arrives: none overtakes it
	fin    bool
	moved  chan struct{} // closed at the next change
}

type piece struct {
	data []byte
	at   time.Time
}

func newLines(w *weather, from, to skein.NodeID) (near, far *line) {
	there, back := &lane{moved: make(chan struct{})}, &lane{moved: make(chan struct{})}
	near = &line{w: w, local: from, remote: to, in: back, out: there, changed: make(chan struct{})}
	far = &line{w: w, local: to, remote: from, in: there, out: back, changed: make(chan struct{}), peer: near}
	near.peer = far
	return near, far
}

func (l *lane) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.moved)
	l.moved = make(chan struct{})
}

// look gives the state of the line for an operation: 0 read, 1 write.
func (l *line) look(op int) (until time.Time, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.err
	if err == nil && !l.until[op].IsZero() && !time.Now().Before(l.until[op]) {
		err = os.ErrDeadlineExceeded
	}
	return l.until[op], l.changed, err
}

func (l *line) Read(b []byte) (int, error) {
	for {
		until, changed, err := l.look(0)
		if err != nil {
			return 0, err
		}
		l.w.mu.Lock()
		_, cut := l.w.cut[direction{l.remote, l.local}]
		better := l.w.changed
		l.w.mu.Unlock()
		n, fin := 0, false
		var at time.Time
		l.in.mu.Lock()
		moved := l.in.moved
		if len(l.in.pieces) > 0 && !cut {
			if p := &l.in.pieces[0]; !p.at.After(time.Now()) {
				n = copy(b, p.data)
				if p.data = p.data[n:]; len(p.data) == 0 {
					l.in.pieces = l.in.pieces[1:]
				}
			} else {
				at = p.at
			}
		}
		fin = l.in.fin && len(l.in.pieces) == 0 && !cut
		l.in.mu.Unlock()
		if n > 0 {
			l.in.change(func() { l.in.bytes -= n })
			return n, nil
		}
		if fin {
			return 0, io.EOF
		}
		if at.IsZero() || !until.IsZero() && until.Before(at) {
			at = until
		}
		waitUntil(at, moved, better, changed)
	}
}

func waitUntil(at time.Time, a, b, c <-chan struct{}) {
	var late <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-a:
	case <-b:
	case <-c:
	case <-late:
	}
}

func (l *line) Write(b []byte) (int, error) {
	for {
		until, changed, err := l.look(1)
		if err != nil {
			return 0, err
		}
		l.w.mu.Lock()
		at := time.Now().Add(l.w.latency + l.w.resendLocked())
		l.w.mu.Unlock()
		full, fin := false, false
		var moved <-chan struct{}
		l.out.change(func() {
			full, fin = l.out.bytes > inFlight, l.out.fin
			if !full && !fin {
				if at.Before(l.out.last) {
					at = l.out.last
				}
				l.out.pieces = append(l.out.pieces, piece{append([]byte(nil), b...), at})
				l.out.bytes += len(b)
				l.out.last = at
			}
		})
		if fin {
			return 0, net.ErrClosed
		}
		if !full {
			return len(b), nil
		}
		l.out.mu.Lock()
		moved = l.out.moved
		l.out.mu.Unlock()
		waitUntil(until, moved, nil, changed)
	}
}

// end makes every later call fail with err.
func (l *line) end(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
		close(l.changed)
		l.changed = make(chan struct{})
	}
	l.mu.Unlock()
	l.w.mu.Lock()
	delete(l.w.lines, l)
	l.w.mu.Unlock()
}

// Close lets the peer read what was written, then EOF.
func (l *line) Close() error {
	l.out.change(func() { l.out.fin = true })
	l.end(net.ErrClosed)
	return nil
}

// abort resets both ends.
func (l *line) abort() {
	l.end(syscall.ECONNRESET)
	l.peer.end(syscall.ECONNRESET)
}

func (l *line) LocalAddr() net.Addr  { return nodeAddr(l.local) }
func (l *line) RemoteAddr() net.Addr { return nodeAddr(l.remote) }

func (l *line) SetDeadline(t time.Time) error      { return l.deadline(t, 0, 1) }
func (l *line) SetReadDeadline(t time.Time) error  { return l.deadline(t, 0) }
func (l *line) SetWriteDeadline(t time.Time) error { return l.deadline(t, 1) }

func (l *line) deadline(t time.Time, ops ...int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, op := range ops {
		l.until[op] = t
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}
