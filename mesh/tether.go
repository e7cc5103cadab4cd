package mesh

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

const (
	probeTimeout = 700 * time.Millisecond // dial, handshake and greeting of a tether
	proofTimeout = 3 * time.Second        // the same with a node of another region, three round trips away
	allUpTo      = 8                      // a region of so many: every node watches all others
	successors   = 3                      // in a larger one it watches so many
	retryFirst   = 100 * time.Millisecond
	retryMost    = 2 * time.Second
	recheckEvery = time.Second
	maxRechecks  = 16 // of suspect and dead members in one round
)

// A greeting is version, kind, and the sender's incarnation; both sides send one. After it a tether is idle
// until one side sends a single farewell byte or the connection breaks.
const (
	greetingSize = 10
	kindTether   = 'T'
	kindProbe    = 'P' // closes at once; its end means nothing
	byeLeave     = 'L' // the sender leaves the mesh
	byeQuit      = 'Q' // the sender watches no longer
)

func greeting(kind byte, inc skein.Incarnation) []byte {
	buf := make([]byte, 2, greetingSize)
	buf[0], buf[1] = wire.NodeVersion, kind
	return binary.BigEndian.AppendUint64(buf, uint64(inc))
}

// readGreeting reads the other side's greeting.
func readGreeting(r io.Reader) (kind byte, inc skein.Incarnation, err error) {
	var buf [greetingSize]byte
	if _, err := io.ReadFull(r, buf[:]); err != nil {
		return 0, 0, fmt.Errorf("read greeting: %w", err)
	}
	inc = skein.Incarnation(binary.BigEndian.Uint64(buf[2:]))
	if buf[0] != wire.NodeVersion {
		return 0, 0, skein.Fault(skein.CodeVersion, "the other node speaks version %d, this one %d", buf[0], wire.NodeVersion)
	}
	if inc == 0 {
		return 0, 0, skein.Fault(skein.CodeMalformed, "greeting without incarnation")
	}
	return buf[1], inc, nil
}

// dialTether opens a tether or a probe to member, and gives the incarnation that answered.
func (m *Mesh) dialTether(ctx context.Context, member Member, kind byte) (net.Conn, skein.Incarnation, error) {
	if len(member.HTTPS) == 0 {
		return nil, 0, skein.Fault(skein.CodeUnknownNode, "node %s has no TCP address", member.Node)
	}
	timeout := probeTimeout
	if member.Region != m.config.Self.Region {
		timeout = proofTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := m.config.Network.Dial(ctx, member.HTTPS[0])
	if err != nil {
		return nil, 0, fmt.Errorf("tether to %s: %w", member.Node, err)
	}
	conn := tls.Client(raw, m.config.Identity.client(wire.ALPNTether, member.Node))
	inc, err := m.greet(ctx, conn, member, kind)
	if err != nil {
		if foreign(err) {
			m.counts.foreignDial.Inc()
			err = fmt.Errorf("foreign certificate: %w", err)
		}
		raw.Close()
		return nil, 0, fmt.Errorf("tether to %s: %w", member.Node, err)
	}
	return conn, inc, nil
}

func (m *Mesh) greet(ctx context.Context, conn *tls.Conn, member Member, kind byte) (skein.Incarnation, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return 0, err
	}
	place, err := peerPlace(conn.ConnectionState())
	if err != nil {
		return 0, err
	}
	if want := (skein.Place{Node: member.Node, Region: member.Region, Zone: member.Zone}); place != want {
		return 0, skein.Fault(skein.CodeUnauthenticated, "certificate of %s/%s/%s, gossip says %s/%s/%s",
			place.Region, place.Zone, place.Node, want.Region, want.Zone, want.Node)
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := conn.Write(greeting(kind, m.config.Self.Incarnation)); err != nil {
		return 0, err
	}
	_, inc, err := readGreeting(conn)
	if err != nil {
		return 0, err
	}
	return inc, conn.SetDeadline(time.Time{})
}

// nobodyThere reports whether a dial failed because the far host lives and the process does not.
func nobodyThere(err error) bool {
	for _, sign := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// judge turns the outcome of a dial into evidence, and tells the region what is new.
func (m *Mesh) judge(r skein.Runner, inc skein.Incarnation, err error) {
	before, _ := m.Member(r.Node)
	m.update(func(v *view, now time.Time) {
		switch {
		case err == nil:
			v.reached(skein.Runner{Node: r.Node, Incarnation: inc}, now)
		case nobodyThere(err) || foreign(err): // somebody else is there, or nobody
			v.refused(r, now)
		default:
			v.unanswered(r, now)
		}
	})
	after, ok := m.Member(r.Node)
	if !ok || before.Status == after.Status || after.Incarnation != r.Incarnation || after.Region != m.config.Self.Region {
		return
	}
	if before.Incarnation != r.Incarnation {
		m.log.Info("member", "about", r.String(), "status", after.Status.String())
		return // every node meets a newcomer by itself
	}
	evidence := "reached"
	if err != nil {
		evidence = err.Error()
	}
	m.tell(notice{about: r, status: after.Status, observer: m.config.Self.Node, evidence: evidence})
}

// check settles by one dial what became of r; one check a node at a time.
func (m *Mesh) check(r skein.Runner, why string) {
	m.mu.Lock()
	busy := m.checking[r]
	m.checking[r] = true
	m.mu.Unlock()
	if busy {
		return
	}
	done := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.checking, r)
	}
	started := m.tasks.spawn(func(ctx context.Context) {
		defer done()
		m.mu.Lock()
		member, ok := m.view.candidate(r)
		m.mu.Unlock()
		if !ok {
			return
		}
		if why == "new" {
			select {
			case m.proofs <- struct{}{}:
				defer func() { <-m.proofs }()
			case <-ctx.Done():
				return
			}
		}
		m.log.Debug("checking a node", "about", r.String(), "why", why)
		conn, inc, err := m.dialTether(ctx, member, kindProbe)
		if ctx.Err() != nil && err != nil {
			return
		}
		if err == nil {
			conn.Close()
		}
		if err != nil && why != "new" && foreign(err) {
			m.log.Debug("a node of another mesh", "about", r.String(), "err", err)
		} else if err != nil && foreign(err) {
			m.log.Warn("gossip names a node that has no certificate of this mesh; it is no member", "about", r.String(), "err", err)
		}
		m.judge(r, inc, err)
	})
	if !started {
		done()
	}
}

// lost notes that a connection to r broke, and checks r.
func (m *Mesh) lost(r skein.Runner, why string) {
	var check bool
	m.update(func(v *view, _ time.Time) { check = v.doubted(r) })
	if check {
		m.check(r, why)
	}
}

// neighbours gives the members that self watches: all of a small region, else its successors by name; and the
// leaders.
func neighbours(self skein.NodeID, region skein.Region, leaders []skein.NodeID, members []Member) []skein.NodeID {
	var ring []skein.NodeID
	for _, m := range members {
		if m.Region == region && (!m.gone() || m.Node == self) {
			ring = append(ring, m.Node)
		}
	}
	slices.Sort(ring)
	at, _ := slices.BinarySearch(ring, self)
	count := len(ring) - 1
	if len(ring) > allUpTo {
		count = successors
	}
	var out []skein.NodeID
	for i := range max(count, 0) {
		out = append(out, ring[(at+1+i)%len(ring)])
	}
	for _, leader := range leaders {
		if leader != self && slices.Contains(ring, leader) && !slices.Contains(out, leader) {
			out = append(out, leader)
		}
	}
	return out
}

// recheck dials the suspect and, more rarely, the dead, so that a wrong verdict does not last.
func (m *Mesh) recheck(ctx context.Context) {
	for round := 0; wait(ctx, recheckEvery); round++ {
		m.mu.Lock()
		unsettled := m.view.unsettled()
		m.mu.Unlock()
		for i, member := range unsettled {
			if i == maxRechecks {
				break
			}
			if member.Status == Suspect || round%3 == 0 {
				m.check(member.Runner(), "recheck")
			}
		}
		if claims := m.claims(); round%3 == 0 || len(claims) <= maxRechecks/4 {
			for _, claim := range claims[:min(len(claims), maxRechecks)] {
				m.check(claim.Runner(), "recheck of a claim")
			}
		}
	}
}
