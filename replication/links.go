package replication

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/skein-mesh/skein"
)

type linkKey struct {
	node skein.NodeID
	kind byte
}

// links keeps one stream of each kind to each node that is asked, and dials anew when it has ended.
type links struct {
	dial func(context.Context, skein.NodeID, string) (net.Conn, error)
	ids  atomic.Uint64 // of requests

	mu     sync.Mutex // guards the fields below
	open   map[linkKey]*slot
	closed bool
}

// slot holds the link to one node; its token is held while a caller dials, so that others wait instead of
// dialling too.
type slot struct {
	token chan struct{} // capacity 1
	link  *link
}

func newLinks(dial func(context.Context, skein.NodeID, string) (net.Conn, error)) *links {
	return &links{dial: dial, open: map[linkKey]*slot{}}
}

// errUnreached means that a node was not reached, so that nothing was carried out.
var errUnreached = errors.New("not reached")

// call sends a request to a node and waits for its response, until ctx is done or abandon is closed.
func (p *links) call(ctx context.Context, key linkKey, req message, abandon <-chan struct{}) (message, error) {
	l, err := p.get(ctx, key, abandon)
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", key.node, errUnreached, err)
	}
	resp, err := l.call(ctx, req, abandon)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", key.node, err)
	}
	return resp, nil
}

func (p *links) get(ctx context.Context, key linkKey, abandon <-chan struct{}) (*link, error) {
	s, err := p.slot(key)
	if err != nil {
		return nil, err
	}
	select {
	case s.token <- struct{}{}:
		defer func() { <-s.token }()
	case <-abandon:
		return nil, errAbandoned
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s.link != nil {
		if !s.link.failed() {
			return s.link, nil
		}
		s.link.close()
		s.link = nil
	}
	conn, err := p.connect(ctx, key.node, abandon)
	if err != nil {
		return nil, err
	}
	if p.isClosed() {
		conn.Close()
		return nil, net.ErrClosed
	}
	s.link = startLink(conn, key.kind)
	return s.link, nil
}

// connect dials; a change of leader ends it, since a dead node may take long to be found out.
func (p *links) connect(ctx context.Context, node skein.NodeID, abandon <-chan struct{}) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-abandon:
			cancel()
		case <-ctx.Done():
		}
	})
	return p.dial(ctx, node, Service)
}

func (p *links) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *links) slot(key linkKey) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	s := p.open[key]
	if s == nil {
		s = &slot{token: make(chan struct{}, 1)}
		p.open[key] = s
	}
	return s, nil
}

// close ends all links and waits for them.
func (p *links) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, s := range p.open {
		s.token <- struct{}{} // whoever dials is done
		if s.link != nil {
			s.link.close()
		}
	}
}
