package geodns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skein-mesh/skein/geo"
)

// Server answers for one zone.
type Server struct {
	config Config
	view   atomic.Pointer[view]
	count  counters

	mu    sync.Mutex // guards the fields below
	last  []geo.Node // those that were well when last any were
	conns map[net.Conn]netip.Addr
	ended bool
}

// New makes a server; it is silent until the first Update.
func New(c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("geo DNS: %w", err)
	}
	return &Server{config: c.withDefaults(), conns: map[net.Conn]netip.Addr{}}, nil
}

// Update replaces the membership: every answer that begins after it returns follows the new one.
func (s *Server) Update(snap Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes, gone, stale := snap.Nodes, []geo.Node(nil), false
	if well := slices.DeleteFunc(slices.Clone(snap.Nodes), unwell); len(well) > 0 {
		s.last = well
	} else if stale = true; len(s.last) > 0 {
		nodes, gone = s.last, snap.Nodes
	}
	s.view.Store(newView(s.config, snap, nodes, gone, stale))
}

func unwell(n geo.Node) bool { return !n.Healthy || n.Suspect }

// Run serves until ctx ends, then closes the sockets and returns when all that it started has ended. It returns
// nil then, and earlier only with the error of a socket.
func (s *Server) Run(ctx context.Context) error {
	g, inner := errgroup.WithContext(ctx)
	for _, p := range s.config.Packets {
		g.Go(func() error { return s.servePackets(inner, p) })
	}
	if s.config.Stream != nil {
		g.Go(func() error { return s.serveStream(inner, s.config.Stream) })
	}
	g.Go(func() error {
		<-inner.Done()
		s.close()
		return nil
	})
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) close() {
	for _, p := range s.config.Packets {
		p.Close()
	}
	if s.config.Stream != nil {
		s.config.Stream.Close()
	}
	s.mu.Lock()
	s.ended = true
	open := make([]net.Conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

const (
	maxFaults  = 64                    // errors in a row after which a socket counts as broken
	faultPause = 10 * time.Millisecond // after each of them
)

// faults bounds the errors of one socket that may pass, such as one out of file descriptors.
type faults int

// pass waits a moment and returns nil when the socket deserves another try.
func (f *faults) pass(ctx context.Context, err error) error {
	*f++
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || *f >= maxFaults {
		return err
	}
	t := time.NewTimer(faultPause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return err
	}
}
