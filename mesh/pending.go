package mesh

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
)

const (
	// maxHandshakes is the number of TLS handshakes over TCP at once. A newcomer always gets in: the oldest goes.
	maxHandshakes = 256
	// maxOfSource is how many of them one address may have, and maxOfMember one where a member is, behind which
	// others may be, as on a test machine.
	maxOfSource = 32
	maxOfMember = 128
)

// handshake is one that runs.
type handshake struct {
	source netip.Prefix // the address, or the /64 of one of IPv6, which is one host's to choose from; zero: unknown
	member bool         // a member of the mesh is there
	end    context.CancelFunc
}

// pending are the handshakes that run. Who connects and is silent costs a place only until others come: the
// oldest of the same source ends for a newcomer, and when all places are taken, the oldest of all that is no
// member's.
type pending struct {
	mu      sync.Mutex   // guards the fields below
	running []*handshake // oldest first
}

// enter adds h, and ends an older one where its source has too many.
func (p *pending) enter(h *handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := 0
	for _, o := range p.running {
		if o.source == h.source {
			of++
		}
	}
	most := maxOfSource
	if h.member {
		most = maxOfMember
	}
	if h.source.IsValid() && of >= most {
		p.endLocked(func(o *handshake) bool { return o.source == h.source })
	}
	p.running = append(p.running, h)
}

// makeRoom ends the oldest handshake.
func (p *pending) makeRoom() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.endLocked(func(o *handshake) bool { return !o.member }) {
		p.endLocked(func(*handshake) bool { return true })
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
