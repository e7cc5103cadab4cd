package geo

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sort"

	"github.com/skein-mesh/skein"
)

// The longest scopes that an answer carries, in bits (RFC 7871, section 11.1 asks for no more than /24 and /56).
const (
	MaxScope4 = 24
	MaxScope6 = 56
)

// MaxEntries bounds a table.
const MaxEntries = 1 << 20

// Entry places the clients of a prefix in a region.
type Entry struct {
	Prefix netip.Prefix // without host bits
	Region skein.Region
}

// Table maps prefixes to regions by longest match. The zero value is empty.
type Table struct {
	full   families // every entry
	coarse families // entries that an answer's scope can express
}

type families struct{ v4, v6 spans }

// spans cover a whole address family: each reaches from its start to just before the next one's, and two
// neighbours never have the same region. Empty means that nothing is placed.
type spans []span

type span struct {
	start  netip.Addr
	region skein.Region // empty: not placed
}

// NewTable builds a table. It reports every fault at once: a prefix with host bits, one that is invalid or an
// IPv4 prefix in IPv6 form, a region that is no name, and a prefix that is placed twice in different regions.
func NewTable(entries []Entry) (*Table, error) {
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("prefix table: %d entries, at most %d are allowed", len(entries), MaxEntries)
	}
	var faults []error
	seen := make(map[netip.Prefix]skein.Region, len(entries))
	for _, e := range entries {
		if err := e.validate(); err != nil {
			faults = append(faults, err)
			continue
		}
		if old, ok := seen[e.Prefix]; ok && old != e.Region {
			faults = append(faults, fmt.Errorf("prefix %s: placed in both %s and %s", e.Prefix, old, e.Region))
		}
		seen[e.Prefix] = e.Region
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	t := &Table{full: flatten(sorted)}
	short := slices.DeleteFunc(slices.Clone(sorted), func(e Entry) bool { return e.Prefix.Bits() > maxScope(e.Prefix.Addr()) })
	t.coarse = t.full
	if len(short) != len(sorted) {
		t.coarse = flatten(short)
	}
	return t, nil
}

func (e Entry) validate() error {
	switch {
	case !e.Prefix.IsValid():
		return fmt.Errorf("prefix %s: not a prefix", e.Prefix)
	case e.Prefix.Addr().Is4In6():
		return fmt.Errorf("prefix %s: write an IPv4 prefix in IPv4 form", e.Prefix)
	case e.Prefix != e.Prefix.Masked():
		return fmt.Errorf("prefix %s: host bits are set, %s is meant", e.Prefix, e.Prefix.Masked())
	case !skein.ValidName(string(e.Region)):
		return fmt.Errorf("prefix %s: %.80q is not a region", e.Prefix, string(e.Region))
	}
	return nil
}

// lookup finds the region of addr by longest match, empty when no entry holds it, and the shortest prefix
// length around addr within which every address has that same region. With coarse, entries longer than
// MaxScope4 or MaxScope6 take no part. A nil table places nobody.
func (t *Table) lookup(addr netip.Addr, coarse bool) (skein.Region, int) {
	if t == nil {
		return "", 0
	}
	f := &t.full
	if coarse {
		f = &t.coarse
	}
	if addr.Is4() {
		return f.v4.find(addr)
	}
	return f.v6.find(addr)
}

func flatten(sorted []Entry) families {
	v4 := sort.Search(len(sorted), func(i int) bool { return !sorted[i].Prefix.Addr().Is4() })
	return families{
		v4: sweep(netip.AddrFrom4([4]byte{}), sorted[:v4]),
		v6: sweep(netip.AddrFrom16([16]byte{}), sorted[v4:]),
	}
}

// sweep turns nested prefixes, sorted by address and then length, into spans. The stack holds the prefixes
// around the present address, the longest on top; there are at most 129.
func sweep(first netip.Addr, sorted []Entry) spans {
	if len(sorted) == 0 {
		return nil
	}
	s := spans{{start: first}}
	var stack []Entry
	pop := func() {
		end := lastAddr(stack[len(stack)-1].Prefix).Next()
		stack = stack[:len(stack)-1]
		if !end.IsValid() {
			return
		}
		var around skein.Region
		if n := len(stack); n > 0 {
			around = stack[n-1].Region
		}
		s = s.add(end, around)
	}
	for _, e := range sorted {
		for len(stack) > 0 && !stack[len(stack)-1].Prefix.Contains(e.Prefix.Addr()) {
			pop()
		}
		s = s.add(e.Prefix.Addr(), e.Region)
		stack = append(stack, e)
	}
	for len(stack) > 0 {
		pop()
	}
	return slices.Clip(s)
}

// add begins a span at start; starts never fall.
func (s spans) add(start netip.Addr, r skein.Region) spans {
	if n := len(s); s[n-1].start == start {
		s = s[:n-1]
	}
	if n := len(s); n > 0 && s[n-1].region == r {
		return s
	}
	return append(s, span{start, r})
}

func (s spans) find(addr netip.Addr) (skein.Region, int) {
	if len(s) == 0 {
		return "", 0
	}
	i := sort.Search(len(s), func(i int) bool { return addr.Less(s[i].start) }) - 1
	scope := 0
	if i > 0 {
		scope = commonBits(addr, s[i].start.Prev()) + 1
	}
	if i+1 < len(s) {
		scope = max(scope, commonBits(addr, s[i+1].start)+1)
	}
	return s[i].region, scope
}

// commonBits is the length of the longest prefix that holds both; they are of one family.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	n := 0
	for i := range x {
		d := x[i] ^ y[i]
		if d != 0 {
			n += bits.LeadingZeros8(d)
			break
		}
		n += 8
	}
	if a.Is4() {
		n -= 96
	}
	return n
}

func lastAddr(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		fill(b[:], p.Bits())
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	fill(b[:], p.Bits())
	return netip.AddrFrom16(b)
}

// fill sets every bit behind the first n.
func fill(b []byte, n int) {
	for i := n; i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
}

func maxScope(a netip.Addr) int {
	if a.Is4() {
		return MaxScope4
	}
	return MaxScope6
}
