package nodetest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxInFlight bounds what one direction of a stream holds, as a socket buffer does.
const maxInFlight = 1 << 20

// stream is one end of a simulated TCP connection.
type stream struct {
	net           *Net
	local, remote netip.AddrPort
	in, out       *half
	read, write   deadline
	once          sync.Once
}

// half is one direction: segments that become readable at their time.
type half struct {
	mu     sync.Mutex // guards the fields below
	segs   []segment
	bytes  int
	fin    bool  // no more will be written
	err    error // the connection was reset
	finAt  time.Time
	wakeup chan struct{} // closed at the next change
}

type segment struct {
	data []byte
	at   time.Time
}

func newStreams(n *Net, local, remote netip.AddrPort) (near, far *stream) {
	there, back := &half{wakeup: make(chan struct{})}, &half{wakeup: make(chan struct{})}
	near = &stream{net: n, local: local, remote: remote, in: back, out: there}
	far = &stream{net: n, local: remote, remote: local, in: there, out: back}
	for _, s := range []*stream{near, far} {
		s.read.changed, s.write.changed = make(chan struct{}), make(chan struct{})
	}
	return near, far
}

func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.wakeup)
	h.wakeup = make(chan struct{})
}

// take reads what is ready; wait is when more will be, zero when only a change can bring it.
func (h *half) take(b []byte, now time.Time) (n int, wait time.Time, wakeup <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil && !h.finAt.After(now):
		return 0, time.Time{}, nil, h.err
	case len(h.segs) > 0 && !h.segs[0].at.After(now):
		n = copy(b, h.segs[0].data)
		h.segs[0].data = h.segs[0].data[n:]
		h.bytes -= n
		if len(h.segs[0].data) == 0 {
			h.segs = h.segs[1:]
		}
		close(h.wakeup)
		h.wakeup = make(chan struct{})
		return n, time.Time{}, nil, nil
	case len(h.segs) > 0:
		return 0, h.segs[0].at, h.wakeup, nil
	case h.err != nil || h.fin && h.finAt.After(now):
		return 0, h.finAt, h.wakeup, nil
	case h.fin:
		return 0, time.Time{}, nil, io.EOF
	}
	return 0, time.Time{}, h.wakeup, nil
}

func (s *stream) Read(b []byte) (int, error) {
	for {
		limit, limitChanged := s.read.get()
		now := time.Now()
		if !limit.IsZero() && !now.Before(limit) {
			return 0, os.ErrDeadlineExceeded
		}
		_, cut, cutChanged := s.net.path(s.remote.Addr(), s.local.Addr())
		var wait time.Time
		var wakeup <-chan struct{}
		if cut {
			s.in.mu.Lock()
			err := s.in.err
			wakeup = s.in.wakeup
			s.in.mu.Unlock()
			if err == net.ErrClosed {
				return 0, err
			}
		} else {
			var n int
			var err error
			if n, wait, wakeup, err = s.in.take(b, now); n > 0 || err != nil || len(b) == 0 {
				return n, err
			}
		}
		if !limit.IsZero() && (wait.IsZero() || limit.Before(wait)) {
			wait = limit
		}
		pause(wait, wakeup, limitChanged, cutChanged)
	}
}

// pause waits for a time, zero for never, or for one of the channels.
func pause(until time.Time, a, b, c <-chan struct{}) {
	var timer <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
	case <-a:
	case <-b:
	case <-c:
	}
}

func (s *stream) Write(b []byte) (int, error) {
	for {
		limit, limitChanged := s.write.get()
		now := time.Now()
		if !limit.IsZero() && !now.Before(limit) {
			return 0, os.ErrDeadlineExceeded
		}
		after, _, cutChanged := s.net.path(s.local.Addr(), s.remote.Addr())
		s.out.mu.Lock()
		err, full, fin, wakeup := s.out.err, s.out.bytes > maxInFlight, s.out.fin, s.out.wakeup
		s.out.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case fin:
			return 0, net.ErrClosed
		case full:
			pause(limit, wakeup, limitChanged, cutChanged)
			continue
		}
		s.out.change(func() {
			s.out.segs = append(s.out.segs, segment{data: append([]byte(nil), b...), at: now.Add(after)})
			s.out.bytes += len(b)
		})
		return len(b), nil
	}
}

// Close ends both directions; the peer reads what was written, then EOF.
func (s *stream) Close() error {
	s.once.Do(func() {
		after, _, _ := s.net.path(s.local.Addr(), s.remote.Addr())
		s.out.change(func() { s.out.fin, s.out.finAt = true, time.Now().Add(after) })
		s.in.change(func() { s.in.err = net.ErrClosed })
		s.forget()
	})
	return nil
}

// abort is what the kernel does for a killed process: the peer sees a reset.
func (s *stream) abort() {
	s.once.Do(func() {
		after, _, _ := s.net.path(s.local.Addr(), s.remote.Addr())
		s.out.change(func() { s.out.err, s.out.finAt = syscall.ECONNRESET, time.Now().Add(after) })
		s.in.change(func() { s.in.err = net.ErrClosed })
		s.forget()
	})
}

func (s *stream) forget() {
	s.net.mu.Lock()
	delete(s.net.streams, s)
	s.net.mu.Unlock()
}

func (s *stream) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(s.local) }
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

func (s *stream) SetDeadline(t time.Time) error {
	s.read.set(t)
	s.write.set(t)
	return nil
}

func (s *stream) SetReadDeadline(t time.Time) error  { s.read.set(t); return nil }
func (s *stream) SetWriteDeadline(t time.Time) error { s.write.set(t); return nil }

// deadline wakes those who wait when it moves.
type deadline struct {
	mu      sync.Mutex // guards the fields below
	at      time.Time
	changed chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *deadline) get() (time.Time, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at, d.changed
}
