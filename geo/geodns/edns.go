package geodns

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/skein-mesh/skein/geo"
)

// maxUDP is the largest answer over UDP, and what this server says it takes: it passes every path that carries
// IPv6, so that nothing is fragmented (DNS flag day 2020).
const maxUDP = 1232

// edns is what is read of the OPT record (RFC 6891).
type edns struct {
	present bool
	size    uint16
	version uint8
	do      bool // DNSSEC OK, which is copied (RFC 3225, section 3)
	nsid    bool
	subnet  subnet
	options []byte
}

// subnet is the client subnet option (RFC 7871, section 6).
type subnet struct {
	present bool
	option  []byte       // as it came, without code and length
	prefix  netip.Prefix // invalid when the option names no address
}

// take reads what comes before the options; rr are the ten bytes from the type on.
func (e *edns) take(rr, options []byte) {
	e.present = true
	e.size = binary.BigEndian.Uint16(rr[2:])
	e.version = rr[5]
	e.do = rr[6]&0x80 != 0
	e.options = options
}

func (e *edns) parseOptions() bool {
	for b := e.options; len(b) > 0; {
		if len(b) < 4 {
			return false
		}
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if 4+n > len(b) {
			return false
		}
		switch code {
		case dns.EDNS0NSID:
			e.nsid = true
		case dns.EDNS0SUBNET:
			if e.subnet.present || !e.subnet.parse(b[4:4+n]) {
				return false
			}
		}
		b = b[4+n:]
	}
	return true
}

// parse takes exactly what RFC 7871 allows in a query: a scope of 0, as many octets as the source length needs, and
// no bit set behind it (sections 6 and 7.1.2). With a source length of 0 the family may be 0 too, as dig sends it.
func (s *subnet) parse(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	family, source, scope, addr := binary.BigEndian.Uint16(b), int(b[2]), b[3], b[4:]
	if scope != 0 || len(addr) != (source+7)/8 {
		return false
	}
	var full [16]byte
	var a netip.Addr
	switch {
	case family == 1 && source <= 32:
		copy(full[:4], addr)
		a = netip.AddrFrom4([4]byte(full[:4]))
	case family == 2 && source <= 128:
		copy(full[:], addr)
		a = netip.AddrFrom16(full)
	case family == 0 && source == 0:
		s.present, s.option = true, b
		return true
	default:
		return false
	}
	p := netip.PrefixFrom(a, source)
	if p != p.Masked() {
		return false
	}
	s.present, s.option = true, b
	if source > 0 { // 0: the client wants to stay unknown (section 7.1.2)
		s.prefix = p
	}
	return true
}

// client gives whom to answer: the subnet, or who sent the query; then nobody else shares the answer and the
// prefix is only a key for stickiness.
func (q *query) client() (p netip.Prefix, shared bool) {
	if q.edns.subnet.prefix.IsValid() {
		return q.edns.subnet.prefix, true
	}
	bits := geo.MaxScope4
	if q.source.Is6() {
		bits = geo.MaxScope6
	}
	p, err := q.source.Prefix(bits)
	if err != nil {
		return netip.Prefix{}, false
	}
	return p, false
}

// appendOPT writes the OPT record of an answer, nothing when the query had none (RFC 6891, section 7).
func (q *query) appendOPT(b []byte, a *answer, node string) []byte {
	if !q.edns.present {
		return b
	}
	var flags byte
	if q.edns.do {
		flags = 0x80
	}
	b = append(b, 0, 0, byte(dns.TypeOPT), maxUDP>>8, maxUDP&0xFF, byte(a.rcode>>4), 0, flags, 0, 0, 0)
	mark := len(b)
	if q.edns.nsid && len(node) > 0 {
		b = appendOption(b, dns.EDNS0NSID, len(node))
		b = append(b, node...)
	}
	if s := &q.edns.subnet; s.present {
		b = appendOption(b, dns.EDNS0SUBNET, len(s.option))
		b = append(b, s.option...)
		b[len(b)-len(s.option)+3] = byte(a.scope)
	}
	if a.stale {
		b = appendOption(b, dns.EDNS0EDE, 2)
		b = binary.BigEndian.AppendUint16(b, dns.ExtendedErrorCodeStaleAnswer)
	}
	binary.BigEndian.PutUint16(b[mark-2:], uint16(len(b)-mark))
	return b
}

func appendOption(b []byte, code uint16, n int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, code), uint16(n))
}
