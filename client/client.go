package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/skein-mesh/skein"
)

// Client is one instance of a client. It is safe for concurrent use.
type Client struct {
	cfg     Config
	book    *book
	pool    *pool
	carrier carrier // the pool; a script in tests

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // sessions, their legs, look-ups

	mu     sync.Mutex // guards closed against a late Open
	closed bool

	resolving atomic.Bool // one look-up at a time

	// counter is the highest of this instance's turn counters in any session. A session that is closed and opened
	// again must not reuse that of a turn which is still on its way, and which no node can know of yet.
	counter atomic.Uint64
}

// raise makes n a counter that was used.
func (c *Client) raise(n uint64) {
	for old := c.counter.Load(); old < n && !c.counter.CompareAndSwap(old, n); old = c.counter.Load() {
	}
}

// Dial finds the mesh and connects to the first node that answers. It goes on until ctx ends or, without a
// deadline, for Config.Patience; a fault of all nodes' certificates ends it at once.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Patience)
		defer cancel()
	}
	if err := c.connect(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("dial %s: %w", c.cfg.Service, err)
	}
	return c, nil
}

func newClient(cfg Config) (*Client, error) {
	if err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, book: &book{instance: cfg.Instance}}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.pool = newPool(c.ctx, &c.cfg)
	c.carrier = c.pool
	c.book.add(cfg.Nodes)
	return c, nil
}

// Instance gives the name that this client's turn ids are made of.
func (c *Client) Instance() skein.ClientID { return c.cfg.Instance }

// Close ends all sessions and connections and waits for them. Turns that run go on in the mesh.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel(ErrClosed)
	c.wg.Wait()
	c.pool.close()
	return nil
}

// spawn runs f unless the client is closed.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// refresh asks DNS again when every known node has failed.
func (c *Client) refresh() {
	if len(c.cfg.DNS) == 0 && len(c.cfg.Nodes) > 0 || !c.resolving.CompareAndSwap(false, true) {
		return
	}
	started := c.spawn(func() {
		defer c.resolving.Store(false)
		if err := c.resolve(c.ctx); err != nil {
			c.cfg.Log.Info("look-up of the mesh", "err", err)
		}
	})
	if !started {
		c.resolving.Store(false)
	}
}
