package geodns

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	idleTimeout  = 10 * time.Second // for the next whole request (RFC 7766, section 6.2.3: a few seconds)
	writeTimeout = 5 * time.Second
	maxQueries   = 10000 // on one connection
)

// serveStream accepts connections, each with a goroutine, and returns when all have ended.
func (s *Server) serveStream(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer func() {
		s.close() // a broken listener ends the connections too
		wg.Wait()
	}()
	var bad faults
	for {
		c, err := l.Accept()
		if err != nil {
			if err := bad.pass(ctx, err); err != nil {
				return fmt.Errorf("accept DNS on %s: %w", l.Addr(), err)
			}
			continue
		}
		bad = 0
		from := addrOf(c.RemoteAddr())
		if !s.admit(c, from) {
			s.count.rejected.Add(1)
			c.Close()
			continue
		}
		wg.Go(func() {
			defer s.release(c)
			s.serveConn(c, from)
		})
	}
}

// admit takes a connection in unless there are too many, in all or from its address.
func (s *Server) admit(c net.Conn, from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.conns) >= s.config.MaxConns {
		return false
	}
	same := 0
	for _, a := range s.conns {
		if a == from {
			same++
		}
	}
	if same >= max(s.config.MaxConns/4, 1) {
		return false
	}
	s.conns[c] = from
	return true
}

func (s *Server) release(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// serveConn answers requests one after the other (RFC 7766) until the peer is silent for too long, or
// sends what is no request.
func (s *Server) serveConn(c net.Conn, from netip.Addr) {
	r := bufio.NewReaderSize(c, 1024)
	in, out := make([]byte, 2, 512), make([]byte, 2, 1024)
	for range maxQueries {
		if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
			return
		}
		if _, err := io.ReadFull(r, in[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(in[:2]))
		if n < headerLen || n > maxQuery {
			s.count.dropped.Add(1)
			return
		}
		if cap(in) < n {
			in = make([]byte, n)
		}
		if _, err := io.ReadFull(r, in[:n]); err != nil {
			return
		}
		answer := s.handle(out[:2], in[:n], from, true)
		if answer == nil {
			return
		}
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
		if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
		out = answer[:2]
	}
}
