package geodns

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

// records are resource records in wire form, owners included.
type records struct {
	data  []byte
	count int
}

// answer is what to say about a question.
type answer struct {
	rcode      int // with the upper bits that go into OPT
	ours       bool
	answer     records
	soa        []byte  // for the authority section of a negative answer, without its owner; nil: none
	additional records // left out when there is no room
	scope      int     // of the client subnet option
	stale      bool
}

// handle answers one request: it appends the answer to dst, or returns nil when there is none to give.
func (s *Server) handle(dst, request []byte, source netip.Addr, stream bool) []byte {
	v := s.view.Load()
	q := query{source: source.Unmap().WithZone(""), stream: stream}
	verdict := q.parse(request)
	if verdict == dropped || v == nil {
		s.count.dropped.Add(1)
		return nil
	}
	if stream {
		s.count.tcp.Add(1)
	} else {
		s.count.udp.Add(1)
	}
	a := answer{rcode: verdict}
	if verdict == dns.RcodeSuccess {
		a = v.answer(&q)
	}
	out, truncated := v.write(dst, &q, &a)
	if truncated {
		s.count.truncated.Add(1)
	}
	s.count.rcode(a.rcode)
	return out
}

// answer looks the question up.
func (v *view) answer(q *query) answer {
	if q.qclass != dns.ClassINET {
		return answer{rcode: dns.RcodeRefused}
	}
	at, ours := v.find(q.wireName())
	switch {
	case !ours, refused(q.qtype):
		return answer{rcode: dns.RcodeRefused}
	case at == nil:
		return answer{rcode: dns.RcodeNameError, ours: true, soa: v.negative}
	case q.qtype == dns.TypeANY && at.kind != emptyName:
		return answer{ours: true, answer: v.any} // RFC 8482, section 4.2
	}
	a := answer{ours: true}
	switch at.kind {
	case apexName:
		v.apex(q, &a)
	case nodeName:
		switch q.qtype {
		case dns.TypeA:
			a.answer = at.a
		case dns.TypeAAAA:
			a.answer = at.aaaa
		}
	}
	if a.answer.count == 0 {
		a.soa = v.negative
	}
	return a
}

func (v *view) apex(q *query, a *answer) {
	switch q.qtype {
	case dns.TypeSOA:
		a.answer = v.soa
		return
	case dns.TypeNS:
		a.answer, a.additional = v.ns, v.glue
		return
	case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS:
	default:
		return
	}
	p, scope := v.pick(q)
	switch q.qtype {
	case dns.TypeA:
		a.answer = p.a
	case dns.TypeAAAA:
		a.answer = p.aaaa
	default:
		a.answer = p.https
	}
	if a.answer.count > 0 { // a negative answer has scope 0 (RFC 7871, section 7.4)
		a.scope, a.stale = scope, v.stale
	}
}

// refused holds the types that are no data: transfers and the other meta-types (RFC 6895, section 3.1).
func refused(qtype uint16) bool {
	return qtype == dns.TypeOPT || qtype >= 128 && qtype < 255
}

// write builds the message. A section that does not fit is left out as a whole; in the answer and authority
// sections that sets TC (RFC 2181, section 9).
func (v *view) write(dst []byte, q *query, a *answer) (out []byte, truncated bool) {
	var opt [headerLen + 128]byte // NSID 68, client subnet 24, EDE 6 bytes at most
	edns := q.appendOPT(opt[:0], a, v.self)
	base := len(dst)
	limit := base + q.limit() - len(edns)

	dst = append(dst, make([]byte, headerLen)...)
	dst = append(dst, q.question...)
	var answers, authority, additional int
	if len(dst)+len(a.answer.data) <= limit {
		dst, answers = append(dst, a.answer.data...), a.answer.count
	} else {
		truncated = true
	}
	if a.soa != nil {
		if len(dst)+2+len(a.soa) <= limit {
			zone := headerLen + q.nameLen - len(v.zone) // where the zone's name is within the question
			dst = append(dst, 0xC0|byte(zone>>8), byte(zone))
			dst, authority = append(dst, a.soa...), 1
		} else {
			truncated = true
		}
	}
	if !truncated && len(dst)+len(a.additional.data) <= limit {
		dst, additional = append(dst, a.additional.data...), a.additional.count
	}
	if len(edns) > 0 {
		dst = append(dst, edns...)
		additional++
	}
	putHeader(dst[base:], q, a, truncated)
	binary.BigEndian.PutUint16(dst[base+6:], uint16(answers))
	binary.BigEndian.PutUint16(dst[base+8:], uint16(authority))
	binary.BigEndian.PutUint16(dst[base+10:], uint16(additional))
	return dst, truncated
}

func putHeader(b []byte, q *query, a *answer, truncated bool) {
	binary.BigEndian.PutUint16(b, q.id)
	b[2] = 0x80 | byte(q.opcode)<<3
	if a.ours {
		b[2] |= 0x04
	}
	if truncated {
		b[2] |= 0x02
	}
	if q.recurse {
		b[2] |= 0x01
	}
	b[3] = byte(a.rcode & 0xF)
	if len(q.question) > 0 {
		b[5] = 1
	}
}
