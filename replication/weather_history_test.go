package replication

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// What a stream of QUIC does in bad weather: lost packets are sent again, so that bytes come late and in order; a path that
// brings nothing for idleEnds ends the connection.
const (
	idleEnds  = 3 * time.Second
	goneAfter = 4 * time.Second // of silence, for gossip
	inFlight  = 1 << 20         // bytes that wait in one direction
	resend    = 100 * time.Millisecond
)

type direction struct{ from, to skein.NodeID }

// weather is a network between nodes of one bubble whose paths are slow, lossy or cut, each direction apart.
type weather struct {
	mu      sync.Mutex // guards the fields below
	rng     *rand.Rand
	ports   map[skein.NodeID]*port
	lines   map[*line]struct{}
	cut     map[direction]time.Time // since when
	changed chan struct{}           // closed when cut, loss or latency change
	latency time.Duration
	loss    float64
	down    map[skein.NodeID]time.Time
	zones   []skein.NodeID
}

func newWeather(seed uint64) *weather {
	return &weather{
		rng: rand.New(rand.NewPCG(seed, 7)), ports: map[skein.NodeID]*port{}, lines: map[*line]struct{}{},
		cut: map[direction]time.Time{}, changed: make(chan struct{}), latency: time.Millisecond, down: map[skein.NodeID]time.Time{},
	}
}

// set changes the weather under its lock and wakes whoever waits for better.
func (w *weather) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// sever cuts directions; streams on them end after idleEnds unless it is healed before.
func (w *weather) sever(paths ...direction) {
	now := time.Now()
	w.set(func() {
		for _, d := range paths {
			w.cut[d] = now
		}
	})
	time.AfterFunc(idleEnds, func() {
		w.mu.Lock()
		var gone []*line
		for l := range w.lines {
			for _, d := range []direction{{l.local, l.remote}, {l.remote, l.local}} {
				if since, ok := w.cut[d]; ok && time.Since(since) >= idleEnds {
					gone = append(gone, l)
				}
			}
		}
		w.mu.Unlock()
		for _, l := range gone {
			l.abort()
		}
	})
}

func (w *weather) heal() {
	w.set(func() {
		clear(w.cut)
		w.loss, w.latency = 0, time.Millisecond
	})
}

// up attaches a node; serve takes the streams of the service.
func (w *weather) up(node skein.NodeID, serve func(context.Context, skein.NodeID, net.Conn)) *skyLayer {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &port{accept: make(chan net.Conn), closed: make(chan struct{}), serve: serve}
	w.ports[node] = p
	delete(w.down, node)
	return &skyLayer{w: w, node: node, port: p}
}

// off takes a node off the network at once, as the death of its process does.
func (w *weather) off(node skein.NodeID) {
	w.mu.Lock()
	p := w.ports[node]
	delete(w.ports, node)
	w.down[node] = time.Now()
	var gone []*line
	for l := range w.lines {
		if l.local == node || l.remote == node {
			gone = append(gone, l)
		}
	}
	w.mu.Unlock()
	for _, l := range gone {
		l.abort()
	}
	if p != nil {
		p.served.Wait()
	}
}

// sky is what one node sees of the weather. It satisfies Peers.
type sky struct {
	w    *weather
	node skein.NodeID
}

func (s sky) Candidates() (out []Candidate) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, id := range s.w.zones {
		c := Candidate{Node: id, Zone: zoneOf(id), Healthy: true}
		for _, d := range []direction{{s.node, id}, {id, s.node}} {
			if since, cut := s.w.cut[d]; cut {
				c.Healthy = false
				c.Gone = c.Gone || time.Since(since) > goneAfter
			}
		}
		if _, down := s.w.down[id]; down {
			c.Healthy, c.Gone = false, true
		}
		out = append(out, c)
	}
	return out
}

func (s sky) Dial(ctx context.Context, to skein.NodeID, _ string) (net.Conn, error) {
	near, far, p, err := s.w.connect(ctx, s.node, to)
	if err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.ports[to] != p {
		return nil, errDown
	}
	p.served.Go(func() {
		defer far.Close()
		p.serve(context.Background(), s.node, far)
	})
	return near, nil
}

// connect makes a stream once the path is open both ways.
func (w *weather) connect(ctx context.Context, from, to skein.NodeID) (near, far *line, p *port, err error) {
	for {
		w.mu.Lock()
		_, there := w.cut[direction{from, to}]
		_, back := w.cut[direction{to, from}]
		late := 2*w.latency + w.resendLocked()
		changed := w.changed
		p := w.ports[to]
		if p == nil || w.ports[from] == nil {
			w.mu.Unlock()
			return nil, nil, nil, errDown
		}
		if !there && !back {
			near, far := newLines(w, from, to)
			w.lines[near], w.lines[far] = struct{}{}, struct{}{}
			w.mu.Unlock()
			select {
			case <-time.After(late):
				return near, far, p, nil
			case <-ctx.Done():
				near.abort()
				return nil, nil, nil, context.Cause(ctx)
			}
		}
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, nil, context.Cause(ctx)
		}
	}
}

// resendLocked is how long the loss of packets holds something back.
func (w *weather) resendLocked() (late time.Duration) {
	for w.loss > 0 && w.rng.Float64() < w.loss {
		late = 2*late + resend/2 + w.latency
	}
	return late
}

// skyLayer is the raft layer of one node.
type skyLayer struct {
	w    *weather
	node skein.NodeID
	port *port
}

func (l *skyLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.port.accept:
		return c, nil
	case <-l.port.closed:
		return nil, net.ErrClosed
	}
}

func (l *skyLayer) Close() error {
	l.port.once.Do(func() { close(l.port.closed) })
	return nil
}

func (l *skyLayer) Addr() net.Addr { return nodeAddr(l.node) }

func (l *skyLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	near, far, p, err := l.w.connect(ctx, l.node, skein.NodeID(addr))
	if err != nil {
		return nil, err
	}
	select {
	case p.accept <- far:
		return near, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	near.abort()
	return nil, errDown
}
