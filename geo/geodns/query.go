package geodns

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

const (
	headerLen = 12
	maxName   = 255 // bytes of a name in wire form (RFC 1035, section 2.3.4)
	rrFixed   = 10  // bytes of a record between its owner and its data
)

// query is what is read of a request. Slices point into the request.
type query struct {
	id       uint16
	opcode   int
	recurse  bool   // RD, which is copied
	question []byte // name, type and class as they came, so that the answer repeats the case; empty when unreadable
	name     [maxName]byte
	nameLen  int // of name, which is in lower case
	qtype    uint16
	qclass   uint16
	edns     edns
	source   netip.Addr // who sent it
	stream   bool       // over TCP
}

// dropped is the verdict on a packet that gets no answer: it is no request, or has no whole header.
const dropped = -1

// parse reads a request. It returns dropped, or the code of the answer: dns.RcodeSuccess when the question can
// be looked up. Whatever could be read before a fault is in q, for the answer to repeat.
func (q *query) parse(b []byte) int {
	if len(b) < headerLen || b[2]&0x80 != 0 { // QR
		return dropped
	}
	q.id = binary.BigEndian.Uint16(b)
	q.opcode = int(b[2]>>3) & 0xF
	q.recurse = b[2]&1 != 0
	if q.opcode != dns.OpcodeQuery {
		return dns.RcodeNotImplemented
	}
	if binary.BigEndian.Uint16(b[4:]) != 1 { // QDCOUNT
		return dns.RcodeFormatError
	}
	off, ok := q.parseQuestion(b)
	if !ok {
		return dns.RcodeFormatError
	}
	if !q.parseRecords(b, off) {
		return dns.RcodeFormatError
	}
	if q.edns.version != 0 {
		return dns.RcodeBadVers
	}
	if q.edns.present && !q.edns.parseOptions() {
		return dns.RcodeFormatError
	}
	return dns.RcodeSuccess
}

// parseQuestion reads the name, without compression, since nothing comes before it that it could point to.
func (q *query) parseQuestion(b []byte) (end int, ok bool) {
	off := headerLen
	for {
		if off >= len(b) {
			return 0, false
		}
		n := int(b[off])
		if n > 63 || off+1+n > len(b) || off-headerLen+1+n > maxName {
			return 0, false
		}
		q.name[off-headerLen] = b[off]
		for i := off + 1; i <= off+n; i++ {
			q.name[i-headerLen] = lower(b[i])
		}
		off += 1 + n
		if n == 0 {
			break
		}
	}
	if off+4 > len(b) {
		return 0, false
	}
	q.nameLen = off - headerLen
	q.qtype = binary.BigEndian.Uint16(b[off:])
	q.qclass = binary.BigEndian.Uint16(b[off+2:])
	q.question = b[headerLen : off+4]
	return off + 4, true
}

// parseRecords walks over all records behind the question and takes in the OPT record, of which there may be one,
// in the additional section, owned by the root (RFC 6891, section 6.1.1). Each record takes eleven bytes
// or more, which bounds the walk whatever the counts say.
func (q *query) parseRecords(b []byte, off int) bool {
	before := int(binary.BigEndian.Uint16(b[6:])) + int(binary.BigEndian.Uint16(b[8:]))
	total := before + int(binary.BigEndian.Uint16(b[10:]))
	for i := range total {
		start := off
		off = skipName(b, off)
		if off < 0 || off+rrFixed > len(b) {
			return false
		}
		fixed := b[off : off+rrFixed]
		off += rrFixed
		n := int(binary.BigEndian.Uint16(fixed[8:]))
		if off+n > len(b) {
			return false
		}
		if binary.BigEndian.Uint16(fixed) == dns.TypeOPT {
			if i < before || b[start] != 0 || q.edns.present {
				return false
			}
			q.edns.take(fixed, b[off:off+n])
		}
		off += n
	}
	return off == len(b)
}

// skipName gives the offset behind a name that may be compressed, -1 when there is none.
func skipName(b []byte, off int) int {
	for off < len(b) {
		n := int(b[off])
		switch {
		case n == 0:
			return off + 1
		case n&0xC0 == 0xC0:
			return off + 2
		case n > 63:
			return -1
		}
		off += 1 + n
	}
	return -1
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// wireName gives the lower-case wire form of the name.
func (q *query) wireName() []byte { return q.name[:q.nameLen] }

// limit is how many bytes the answer may have.
func (q *query) limit() int {
	switch {
	case q.stream:
		return dns.MaxMsgSize - 1
	case !q.edns.present:
		return dns.MinMsgSize
	}
	return min(max(int(q.edns.size), dns.MinMsgSize), maxUDP)
}
