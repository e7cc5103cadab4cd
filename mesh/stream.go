package mesh

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
)

// nodeAddr is the net.Addr of a node: its name.
type nodeAddr skein.NodeID

func (a nodeAddr) Network() string { return "skein" }
func (a nodeAddr) String() string  { return string(a) }

// stream is one QUIC stream as a net.Conn. Close ends both directions, so that no half of it stays open: a
// stream counts against the peer's limit until both have ended.
type stream struct {
	quic          *quic.Stream
	local, remote nodeAddr
	release       func() // called once, by Close

	once    sync.Once
	closed  atomic.Bool
	cut     atomic.Bool // a Write was interrupted by Close
	writing sync.Mutex  // held by Write: QUIC streams forbid Close during one
}

const codeStreamClosed quic.StreamErrorCode = 0

func (s *stream) Read(p []byte) (int, error) { return s.quic.Read(p) }

func (s *stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.quic.Write(p)
	if err != nil && s.closed.Load() {
		s.cut.Store(true)
		err = net.ErrClosed
	}
	return n, err
}

// Close ends a pending Read and Write. What was written before is still delivered.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.closed.Store(true)
		s.quic.CancelRead(codeStreamClosed)
		s.quic.SetWriteDeadline(time.Unix(1, 0)) // ends a pending Write
		s.writing.Lock()
		if s.cut.Load() {
			s.quic.CancelWrite(codeStreamClosed)
		} else {
			s.quic.Close()
		}
		s.writing.Unlock()
		s.release()
	})
	return nil
}

func (s *stream) LocalAddr() net.Addr  { return s.local }
func (s *stream) RemoteAddr() net.Addr { return s.remote }

func (s *stream) SetReadDeadline(t time.Time) error { return s.quic.SetReadDeadline(t) }

func (s *stream) SetWriteDeadline(t time.Time) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return s.quic.SetWriteDeadline(t)
}

func (s *stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}
