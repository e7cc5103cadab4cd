package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/skein-mesh/skein"
)

// keepTethers holds one watcher a neighbour.
func (m *Mesh) keepTethers(ctx context.Context) {
	watchers := map[skein.NodeID]context.CancelFunc{}
	defer func() {
		for _, cancel := range watchers {
			cancel()
		}
	}()
	for {
		changed := m.Changed()
		var leaders []skein.NodeID
		if l := m.leaders.Load(); l != nil {
			leaders = *l
		}
		want := map[skein.NodeID]bool{}
		for _, id := range neighbours(m.config.Self.Node, m.config.Self.Region, leaders, m.Members()) {
			want[id] = true
			if watchers[id] == nil {
				wctx, cancel := context.WithCancel(ctx)
				watchers[id] = cancel
				m.tasks.spawn(func(context.Context) { m.watch(wctx, ctx, id) })
			}
		}
		for id, cancel := range watchers {
			if !want[id] {
				cancel()
				delete(watchers, id)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-m.retether:
		}
	}
}

// watch keeps a tether to one neighbour until ctx ends; run is the context of the whole mesh.
func (m *Mesh) watch(ctx, run context.Context, id skein.NodeID) {
	pause := retryFirst
	for ctx.Err() == nil {
		member, ok := m.Member(id)
		if !ok { // forgotten a moment ago; keepTethers will see
			if !wait(ctx, retryFirst) {
				return
			}
			continue
		}
		started := time.Now()
		conn, inc, err := m.dialTether(ctx, member, kindTether)
		if ctx.Err() != nil {
			if err == nil {
				m.quit(conn, run)
			}
			return
		}
		m.judge(member.Runner(), inc, err)
		if err == nil {
			m.hold(ctx, run, conn, skein.Runner{Node: id, Incarnation: inc})
			if time.Since(started) > retryMost {
				pause = retryFirst
				continue // the re-dial decides between a death and a mishap: at once
			}
		}
		if !wait(ctx, pause) {
			return
		}
		pause = min(2*pause, retryMost)
	}
}

// hold waits on an idle tether until it breaks or ctx ends.
func (m *Mesh) hold(ctx, run context.Context, conn net.Conn, peer skein.Runner) {
	m.keep(conn, true)
	stop := context.AfterFunc(ctx, func() { m.quit(conn, run) })
	defer stop()
	m.listenTether(ctx, conn, peer)
	m.keep(conn, false)
	conn.Close()
}

// quit ends a tether that is wanted no longer; when the whole mesh stops it says nothing, since its end is news.
func (m *Mesh) quit(conn net.Conn, run context.Context) {
	if run.Err() == nil {
		m.bye(conn, byeQuit)
	}
	conn.Close()
}

// bye writes a farewell; nobody waits for it longer than a moment.
func (m *Mesh) bye(conn net.Conn, farewell byte) {
	conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := conn.Write([]byte{farewell}); err != nil && !errors.Is(err, net.ErrClosed) {
		m.log.Debug("farewell on a tether", "peer", conn.RemoteAddr(), "err", err)
	}
}

// listenTether reads until a farewell or the end, which is evidence against peer.
func (m *Mesh) listenTether(ctx context.Context, conn net.Conn, peer skein.Runner) {
	var buf [1]byte
	_, err := io.ReadFull(conn, buf[:])
	switch {
	case ctx.Err() != nil || m.leaving.Load():
	case err == nil && buf[0] == byeLeave:
		m.update(func(v *view, now time.Time) { v.left(peer, now) })
		if p := m.region.Load(); p != nil {
			p.forget(peer.Node)
		}
	case err == nil && buf[0] == byeQuit:
	default:
		m.lost(peer, "tether lost: "+endOf(err))
	}
}

func endOf(err error) string {
	switch {
	case err == nil:
		return "unknown farewell"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return err.Error()
}

// acceptTethers serves the tethers and probes of others.
func (m *Mesh) acceptTethers(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { m.config.Socket.tethers.Close() })
	defer stop()
	slots := make(chan struct{}, 2*maxMembers)
	for {
		conn, err := m.config.Socket.tethers.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		started := m.tasks.spawn(func(ctx context.Context) {
			defer func() { <-slots }()
			m.serveTether(ctx, conn)
		})
		if !started {
			conn.Close()
			return
		}
	}
}

// serveTether answers the greeting, then listens for the end.
func (m *Mesh) serveTether(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	place, err := peerPlace(secure.ConnectionState())
	if err != nil {
		return
	}
	conn.SetDeadline(time.Now().Add(handshakeTimeout))
	kind, inc, err := readGreeting(conn)
	if err != nil {
		m.counts.badGreeting.Inc()
		m.log.Debug("tether", "peer", place.Node, "err", err)
		return
	}
	if _, err := conn.Write(greeting(kind, m.config.Self.Incarnation)); err != nil {
		return
	}
	if kind != kindTether {
		var buf [1]byte
		conn.Read(buf[:]) // until the prober closes, or the deadline
		return
	}
	conn.SetDeadline(time.Time{})
	m.keep(conn, true)
	m.listenTether(ctx, conn, skein.Runner{Node: place.Node, Incarnation: inc})
	m.keep(conn, false)
}

// keep remembers an open tether for the farewell.
func (m *Mesh) keep(conn net.Conn, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if open {
		m.tethers[conn] = true
	} else {
		delete(m.tethers, conn)
	}
}

func (m *Mesh) openTethers() []net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]net.Conn, 0, len(m.tethers))
	for conn := range m.tethers {
		out = append(out, conn)
	}
	return out
}

// byeTethers tells all neighbours that this node leaves.
func (m *Mesh) byeTethers() {
	for _, conn := range m.openTethers() {
		m.bye(conn, byeLeave)
	}
}

func (m *Mesh) closeTethers() {
	for _, conn := range m.openTethers() {
		conn.Close()
	}
}
