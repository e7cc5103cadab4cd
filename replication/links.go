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
	peers Peers
	ids   atomic.Uint64 // of requests

	mu     sync.Mutex // guards the fields below
	open   map[linkKey]*slot
	closed bool
}

// slot holds the link to one node; its token is held while a caller dials, so that others wait instead of
// dialling too.
type slot struct {
	token   chan struct{} // capacity 1; whoever holds it has the fields below
	link    *link
	dropped bool // another slot is in its place, or none
}

func newLinks(peers Peers) *links { return &links{peers: peers, open: map[linkKey]*slot{}} }

// errUnreached means that a node was not reached, so that nothing was carried out.
var errUnreached = errors.New("not reached")

// call is one request: its id, and what appends it as a frame.
type call struct {
	id    uint64
	frame appender
}

// call sends a request to a node and waits for the body of its response, until ctx is done or abandon is closed.
func (p *links) call(ctx context.Context, key linkKey, c call, abandon <-chan struct{}) ([]byte, error) {
	l, err := p.get(ctx, key, abandon)
	if err != nil {
		return nil, fmt.Errorf("%s %w: %w", key.node, errUnreached, err)
	}
	resp, err := l.call(ctx, c.id, c.frame, abandon)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", key.node, err)
	}
	return resp, nil
}

func (p *links) get(ctx context.Context, key linkKey, abandon <-chan struct{}) (*link, error) {
	s, err := p.take(ctx, key, abandon)
	if err != nil {
		return nil, err
	}
	defer func() { <-s.token }()
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

// take gives the slot of key with its token.
func (p *links) take(ctx context.Context, key linkKey, abandon <-chan struct{}) (*slot, error) {
	for {
		s, err := p.slot(key)
		if err != nil {
			return nil, err
		}
		select {
		case s.token <- struct{}{}:
		case <-abandon:
			return nil, errAbandoned
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !s.dropped {
			return s, nil
		}
		<-s.token
	}
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
	return p.peers.Dial(ctx, node, Service)
}

func (p *links) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *links) slot(key linkKey) (*slot, error) {
	p.mu.Lock()
	s, closed := p.open[key], p.closed
	p.mu.Unlock()
	if closed {
		return nil, net.ErrClosed
	}
	if s == nil {
		return p.addSlot(key)
	}
	return s, nil
}

// addSlot makes a slot, and drops those of nodes that are no more.
func (p *links) addSlot(key linkKey) (*slot, error) {
	known := map[skein.NodeID]bool{key.node: true}
	for _, c := range p.peers.Candidates() {
		known[c.Node] = true
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, net.ErrClosed
	}
	var ended []*link
	for k, s := range p.open {
		if !known[k.node] && s.drop() {
			delete(p.open, k)
			if s.link != nil {
				ended = append(ended, s.link)
			}
		}
	}
	s := p.open[key]
	if s == nil {
		s = &slot{token: make(chan struct{}, 1)}
		p.open[key] = s
	}
	p.mu.Unlock()
	for _, l := range ended {
		l.close()
	}
	return s, nil
}

// drop marks a slot that nobody holds and whose link has ended; false leaves it as it is.
func (s *slot) drop() bool {
	select {
	case s.token <- struct{}{}:
	default:
		return false
	}
	defer func() { <-s.token }()
	s.dropped = s.link == nil || s.link.failed()
	return s.dropped
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
