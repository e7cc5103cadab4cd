package openai

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/skein-mesh/skein/inference"
)

// Config says which server is asked.
type Config struct {
	BaseURL string        // as in http://127.0.0.1:8000/v1; needed
	Model   string        // empty: the first that /models lists
	Key     string        // bearer token; empty: none is sent
	Timeout time.Duration // silence that ends a stream; 0: 60 s
	HTTP    *http.Client  // nil: one of the engine's own, which follows no redirect
}

// Engine asks one server. It is safe for concurrent use.
type Engine struct {
	cfg   Config
	base  *url.URL
	own   bool            // the HTTP client is ours to close
	ctx   context.Context // ends with Close
	close context.CancelCauseFunc

	mu       sync.Mutex // guards the fields below
	model    string     // empty until known
	prefills bool       // a server of a kind that is known to go on behind an assistant message
	prompts  bool       // a server that was seen not to
}

// New checks cfg; it does not yet connect.
func New(cfg Config) (*Engine, error) {
	u, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, errors.New("model server: the base URL cannot be read; want one like http://127.0.0.1:8000/v1")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("model server %q: want a base URL like http://127.0.0.1:8000/v1", u.Redacted())
	}
	cfg.Key = strings.TrimSpace(cfg.Key) // files end with a newline
	if strings.ContainsAny(cfg.Key, "\r\n") {
		return nil, errors.New("model server: the key has more than one line")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 60 * time.Second
	}
	e := &Engine{cfg: cfg, base: u, model: cfg.Model}
	if cfg.HTTP == nil {
		e.own = true
		e.cfg.HTTP = &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout: 10 * time.Second,
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: 16,
				IdleConnTimeout:     90 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	e.ctx, e.close = context.WithCancelCause(context.Background())
	return e, nil
}

// Close cancels all streams and closes idle connections.
func (e *Engine) Close() error {
	e.close(inference.ErrClosed)
	if e.own {
		e.cfg.HTTP.CloseIdleConnections()
	}
	return nil
}

// Model is the name of the model that is asked; empty until it is known.
func (e *Engine) Model() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.model
}

// Generate asks for one reply. Errors of the server wrap inference.ErrRefused where asking again is no use, and a
// *skein.Error whose RetryAfter is the server's advice.
func (e *Engine) Generate(ctx context.Context, req inference.Request) (inference.Stream, error) {
	if e.ctx.Err() != nil {
		return nil, inference.ErrClosed
	}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if e.Model() == "" {
		if err := e.Load(ctx, ""); err != nil {
			return nil, err
		}
	}
	s := &stream{engine: e, req: req}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.unhook = context.AfterFunc(e.ctx, func() { s.cancel(inference.ErrClosed) })
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (e *Engine) traits() (prefills, prompts bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.prefills, e.prompts
}

func (e *Engine) notePrompts() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prompts = true
}
