package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
)

// Limits of the endpoint.
const (
	// RequestTimeout ends every request.
	RequestTimeout = 20 * time.Second

	maxConns    = 128     // connections at once; further ones wait in the kernel's queue
	maxRequests = 32      // requests at once that need the token; further ones are refused as overloaded
	maxBody     = 4 << 10 // bytes of a request's body; no request needs one
	maxHeader   = 16 << 10
	stopGrace   = 2 * time.Second // how long a stop waits for running requests
)

// Config is what one endpoint needs.
type Config struct {
	Node        skein.NodeID
	Region      skein.Region
	Zone        skein.Zone
	Incarnation skein.Incarnation
	Build       Build

	// Token opens everything; empty: only /healthz, /readyz and /livez are answered.
	Token string

	Mesh        Mesh
	Groups      Groups
	DeadLetters DeadLetters
	Keeping     Keeping
	Backups     Backups
	Recovery    Recovery
	Health      Health
	Metrics     http.Handler // GET /metrics; nil: 404

	// Refused is told the code of every refused request, for a metric; nil: nobody is told.
	Refused func(skein.Code)

	Log *slog.Logger // nil: discard
}

// Server answers operators. It is made by New and lives as long as its Run.
type Server struct {
	cfg     Config
	token   tokenHash
	mux     *http.ServeMux
	slots   chan struct{} // one per request that may run
	started time.Time
}

// New checks cfg and makes a Server.
func New(cfg Config) (*Server, error) {
	var faults []error
	if cfg.Node == "" {
		faults = append(faults, errors.New("admin: Node is empty"))
	}
	if cfg.Mesh == nil || cfg.Groups == nil || cfg.DeadLetters == nil || cfg.Keeping == nil || cfg.Backups == nil || cfg.Recovery == nil || cfg.Health == nil {
		faults = append(faults, errors.New("admin: Mesh, Groups, DeadLetters, Keeping, Backups, Recovery and Health are needed"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, token: hashToken(cfg.Token), slots: make(chan struct{}, maxRequests), started: time.Now()}
	s.routes()
	return s, nil
}

// Run serves ln until ctx ends, then waits shortly for running requests and returns nil. ln is closed.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	// Requests outlive ctx by stopGrace, so that a drain ordered just before the stop gets its answer.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	handlers := &gate{handler: s.Handler()}
	srv := &http.Server{
		Handler:           handlers,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      RequestTimeout + 10*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1) // one send, by the goroutine below
	go func() { served <- srv.Serve(limitConns(ln, maxConns)) }()

	var err error
	select {
	case err = <-served:
		cancel()
		srv.Close()
	case <-ctx.Done():
		grace, done := context.WithTimeout(base, stopGrace)
		if srv.Shutdown(grace) != nil {
			cancel()
			srv.Close()
		}
		done()
		err = <-served
	}
	handlers.wait()
	if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve admin on %s: %w", ln.Addr(), err)
}

// gate lets Run wait for handlers that a closed connection leaves behind.
type gate struct {
	handler http.Handler
	running sync.WaitGroup

	mu     sync.Mutex // guards closed, so that no handler begins once wait has been called
	closed bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		return // the connection is closed already
	}
	defer g.running.Done()
	g.handler.ServeHTTP(w, r)
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running.Add(1)
	return true
}

func (g *gate) wait() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.running.Wait()
}
