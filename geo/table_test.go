package geo

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
)

func entries(pairs ...string) []Entry {
	var out []Entry
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Entry{netip.MustParsePrefix(pairs[i]), skein.Region(pairs[i+1])})
	}
	return out
}

func mustTable(t testing.TB, pairs ...string) *Table {
	t.Helper()
	table, err := NewTable(entries(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTableLookup(t *testing.T) {
	table := mustTable(t, "192.0.2.0/24", "eu", "198.51.100.0/24", "us", "198.51.100.128/25", "ap", "10.0.0.0/8", "eu",
		"10.1.0.0/16", "us", "10.1.2.0/24", "eu", "2001:db8:1::/48", "eu", "2001:db8:1:100::/56", "us", "203.0.112.0/24", "ap", "203.0.113.0/24", "ap")
	tests := []struct {
		addr   string
		region skein.Region
		scope  int // exact
	}{
		{"192.0.2.7", "eu", 24},
		{"192.0.3.7", "", 24}, // its sibling is placed
		{"198.51.100.1", "us", 25},
		{"198.51.100.200", "ap", 25},
		{"10.1.2.3", "eu", 24},
		{"10.1.3.3", "us", 24}, // hides 10.1.2.0/24 with anything shorter
		{"10.1.4.3", "us", 22},
		{"10.0.0.1", "eu", 16},
		{"10.128.0.1", "eu", 9},
		{"203.0.113.9", "ap", 23}, // two prefixes of one region count as one
		{"64.0.0.1", "", 2},
		{"2001:db8:1::1", "eu", 56},
		{"2001:db8:1:100::1", "us", 56},
		{"2001:db8:1:8000::1", "eu", 49},
		{"3000::1", "", 4},
	}
	for _, tt := range tests {
		region, scope := table.lookup(netip.MustParseAddr(tt.addr), false)
		if region != tt.region || scope != tt.scope {
			t.Errorf("%s: got %q/%d, want %q/%d", tt.addr, region, scope, tt.region, tt.scope)
		}
	}
}

func TestEmptyTable(t *testing.T) {
	for _, table := range []*Table{nil, {}, mustTable(t)} {
		if region, scope := table.lookup(netip.MustParseAddr("192.0.2.1"), true); region != "" || scope != 0 {
			t.Errorf("got %q/%d, want nothing at scope 0", region, scope)
		}
	}
	only6 := mustTable(t, "2001:db8::/32", "eu")
	if region, scope := only6.lookup(netip.MustParseAddr("192.0.2.1"), true); region != "" || scope != 0 {
		t.Errorf("IPv4 in an IPv6 table: got %q/%d, want nothing at scope 0", region, scope)
	}
	all := mustTable(t, "0.0.0.0/0", "eu", "::/0", "us")
	for addr, want := range map[string]skein.Region{"255.255.255.255": "eu", "ffff::": "us"} {
		if region, scope := all.lookup(netip.MustParseAddr(addr), true); region != want || scope != 0 {
			t.Errorf("%s: got %q/%d, want %q/0", addr, region, scope, want)
		}
	}
}

func TestTableFaults(t *testing.T) {
	_, err := NewTable([]Entry{
		{netip.MustParsePrefix("192.0.2.1/24"), "eu"},
		{netip.MustParsePrefix("::ffff:192.0.2.0/120"), "eu"},
		{netip.Prefix{}, "eu"},
		{netip.MustParsePrefix("10.0.0.0/8"), "e u"},
		{netip.MustParsePrefix("11.0.0.0/8"), "eu"},
		{netip.MustParsePrefix("11.0.0.0/8"), "us"},
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"192.0.2.0/24 is meant", "IPv4 form", "not a prefix", `"e u" is not a region`, "placed in both eu and us"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// slow is the longest match by looking at every entry.
func slow(all []Entry, a netip.Addr, limit int) skein.Region {
	best, region := -1, skein.Region("")
	for _, e := range all {
		if e.Prefix.Contains(a) && e.Prefix.Bits() > best && e.Prefix.Bits() <= limit {
			best, region = e.Prefix.Bits(), e.Region
		}
	}
	return region
}

// TestScopeIsExact compares with the slow way on prefixes of one byte: every address within the scope has the same
// region, and the next shorter scope holds one that has not.
func TestScopeIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.Custom(func(t *rapid.T) Entry {
			bits := rapid.IntRange(0, 8).Draw(t, "bits")
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rapid.IntRange(0, 255).Draw(t, "byte"))}), bits).Masked()
			return Entry{p, rapid.SampledFrom([]skein.Region{"eu", "us", "ap"}).Draw(t, "region")}
		})
		all := rapid.SliceOfNDistinct(gen, 0, 12, func(e Entry) netip.Prefix { return e.Prefix }).Draw(t, "entries")
		table, err := NewTable(all)
		if err != nil {
			t.Fatal(err)
		}
		uniform := func(p netip.Prefix, region skein.Region) bool {
			for b := range 256 {
				if a := netip.AddrFrom4([4]byte{byte(b)}); p.Contains(a) && slow(all, a, 32) != region {
					return false
				}
			}
			return true
		}
		for b := range 256 {
			a := netip.AddrFrom4([4]byte{byte(b)})
			region, scope := table.lookup(a, false)
			if want := slow(all, a, 32); region != want {
				t.Fatalf("%s: got %q, want %q", a, region, want)
			}
			if !uniform(netip.PrefixFrom(a, scope).Masked(), region) {
				t.Fatalf("%s: scope %d is too short", a, scope)
			}
			if scope > 0 && uniform(netip.PrefixFrom(a, scope-1).Masked(), region) {
				t.Fatalf("%s: scope %d is longer than needed", a, scope)
			}
		}
	})
}

func BenchmarkTableLookup(b *testing.B) {
	var all []Entry
	for i := range 1 << 14 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 6), byte(i << 2)}), 22+i%3).Masked()
		all = append(all, Entry{p, skein.Region([]string{"eu", "us", "ap"}[i%3])})
	}
	table, err := NewTable(all)
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("10.77.3.9")
	b.ReportAllocs()
	for b.Loop() {
		table.lookup(a, true)
	}
}
