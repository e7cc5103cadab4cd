package mesh

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxHandshakes is the number of TLS handshakes over TCP at once. A newcomer gets in for one that idles.
	maxHandshakes = 256
	// maxOfSource is how many idle ones one address may have, and maxOfMember one where a member is, behind which
	// others may be, as on a test machine.
	maxOfSource = 32
	maxOfMember = 128
	// mayTake is how long a handshake whose ClientHello has come is not called idle: many who come at once and mean it,
	// as after the death of another node, must not end each other's.
	mayTake = time.Second
	// roomEvery is the pause before a newcomer looks again for one that idles.
	roomEvery = 50 * time.Millisecond
)

// handshake is one that runs.
type handshake struct {
	source netip.Prefix // the address, or the /64 of one of IPv6, which is one host's to choose from; zero: unknown
	member bool         // a member of the mesh is there
	began  time.Time
	spoke  bool // its ClientHello has come; guarded by pending.mu
	end    context.CancelFunc
}

func (h *handshake) idle(now time.Time) bool { return !h.spoke || now.Sub(h.began) > mayTake }

type handshakeKey struct{}

// spoken notes that the ClientHello of the handshake that ctx belongs to has come.
func (p *pending) spoken(ctx context.Context) {
	if h, ok := ctx.Value(handshakeKey{}).(*handshake); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		h.spoke = true
	}
}

// pending are the handshakes that run. Who connects and is silent costs a place only until others come: the
// oldest idle one of the same source ends for a newcomer, and when all places are taken, the oldest idle one of all
// that is no member's.
type pending struct {
	mu      sync.Mutex   // guards the fields below
	running []*handshake // oldest first
}

// enter adds h, and ends an older one where its source has too many that idle.
func (p *pending) enter(h *handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of, now := 0, time.Now()
	for _, o := range p.running {
		if o.source == h.source && o.idle(now) {
			of++
		}
	}
	most := maxOfSource
	if h.member {
		most = maxOfMember
	}
	if h.source.IsValid() && of >= most {
		p.endLocked(func(o *handshake) bool { return o.source == h.source && o.idle(now) })
	}
	p.running = append(p.running, h)
}

// makeRoom ends the oldest handshake that idles, if there is one.
func (p *pending) makeRoom() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.endLocked(func(o *handshake) bool { return !o.member && o.idle(now) }) {
		p.endLocked(func(o *handshake) bool { return o.idle(now) })
	}
}

// place waits for one of the slots; false when ctx ends before.
func (p *pending) place(ctx context.Context, slots chan<- struct{}) bool {
	for {
		select {
		case slots <- struct{}{}:
			return true
		default:
			p.makeRoom()
		}
		again := time.NewTimer(roomEvery)
		select {
		case slots <- struct{}{}:
			again.Stop()
			return true
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return false
		}
	}
}

func (p *pending) endLocked(which func(*handshake) bool) bool {
	i := slices.IndexFunc(p.running, which)
	if i < 0 {
		return false
	}
	p.running[i].end()
	p.running = slices.Delete(p.running, i, i+1)
	return true
}

// leave takes h off, if it has not been ended, and frees what its context holds.
func (p *pending) leave(h *handshake) {
	h.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.running, h); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
}

// sourceOf gives where a connection comes from.
func sourceOf(addr net.Addr) (netip.Addr, netip.Prefix) {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}, netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	source, err := ip.Prefix(bits)
	if err != nil {
		return netip.Addr{}, netip.Prefix{}
	}
	return ip, source
}

// lives reports whether a member is at an address.
func (m *Mesh) lives(at netip.Addr) bool {
	return slices.ContainsFunc(m.Members(), func(o Member) bool {
		return slices.ContainsFunc(o.HTTPS, func(a netip.AddrPort) bool { return a.Addr().Unmap().WithZone("") == at })
	})
}
