package geodns

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// TestBadRequests holds bytes that no resolver sends.
func TestBadRequests(t *testing.T) {
	s := newServer(t, nine())
	good, _ := question(zone, dns.TypeA).Pack()
	with := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	tests := []struct {
		name      string
		request   []byte
		code      int // dropped: none
		questions int
	}{
		{"nothing", nil, dropped, 0},
		{"half a header", good[:11], dropped, 0},
		{"an answer", with(func(b []byte) []byte { b[2] |= 0x80; return b }), dropped, 0},
		{"opcode NOTIFY", with(func(b []byte) []byte { b[2] = 4 << 3; return b }), dns.RcodeNotImplemented, 0},
		{"opcode UPDATE", with(func(b []byte) []byte { b[2] = 5 << 3; return b }), dns.RcodeNotImplemented, 0},
		{"no question", with(func(b []byte) []byte { b[5] = 0; return b[:12] }), dns.RcodeFormatError, 0},
		{"two questions", with(func(b []byte) []byte { b[5] = 2; return append(b, b[12:]...) }), dns.RcodeFormatError, 0},
		{"65535 questions", with(func(b []byte) []byte { b[4], b[5] = 255, 255; return b }), dns.RcodeFormatError, 0},
		{"a header only", good[:12], dns.RcodeFormatError, 0},
		{"half a name", good[:20], dns.RcodeFormatError, 0},
		{"no class", good[:len(good)-2], dns.RcodeFormatError, 0},
		{"a pointer to itself", with(func(b []byte) []byte { b[12], b[13] = 0xC0, 12; return b }), dns.RcodeFormatError, 0},
		{"a reserved label type", with(func(b []byte) []byte { b[12] = 0x41; return b }), dns.RcodeFormatError, 0},
		{"a name of 256 bytes", with(func(b []byte) []byte {
			name := append(bytes.Repeat(append([]byte{63}, bytes.Repeat([]byte("x"), 63)...), 3), append([]byte{62}, bytes.Repeat([]byte("x"), 62)...)...)
			return append(append(b[:12], name...), 0, 0, 1, 0, 1)
		}), dns.RcodeFormatError, 0},
		{"rubbish behind", append(slices.Clone(good), 1, 2, 3), dns.RcodeFormatError, 1},
		{"counts beyond the end", with(func(b []byte) []byte { b[6], b[8], b[10] = 255, 255, 255; return b }), dns.RcodeFormatError, 1},
		{"a record that runs over", with(func(b []byte) []byte {
			b[11] = 1
			return append(b, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 9, 1)
		}), dns.RcodeFormatError, 1},
		{"a record more, which is ignored", with(func(b []byte) []byte {
			b[11] = 1
			return append(b, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4)
		}), dns.RcodeSuccess, 1},
		{"class CH", with(func(b []byte) []byte { b[len(b)-1] = 3; return b }), dns.RcodeRefused, 1},
		{"class ANY", with(func(b []byte) []byte { b[len(b)-1] = 255; return b }), dns.RcodeRefused, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := s.Stats().Dropped
			out := s.handle(nil, tt.request, elsewhere, false)
			if tt.code == dropped {
				if out != nil || s.Stats().Dropped != before+1 {
					t.Fatalf("got %x, want silence, counted", out)
				}
				return
			}
			r := new(dns.Msg)
			if err := r.Unpack(out); err != nil {
				t.Fatalf("%v: %x", err, out)
			}
			if r.Rcode != tt.code || len(r.Question) != tt.questions || !r.Response || r.Id != uint16(good[0])<<8|uint16(good[1]) {
				t.Errorf("got %v, want %s with %d questions", r, dns.RcodeToString[tt.code], tt.questions)
			}
		})
	}
}

func TestStats(t *testing.T) {
	s := newServer(t, nine())
	ask(t, s, question(zone, dns.TypeA))
	ask(t, s, question("x."+zone, dns.TypeA))
	ask(t, s, question("example.org.", dns.TypeA))
	b := raw()
	b[len(b)-5] = 1
	askBytes(t, s, b, true)
	s.handle(nil, []byte{1}, elsewhere, true)
	got := s.Stats()
	want := Stats{UDP: 3, TCP: 1, Dropped: 1, NoError: 1, NXDomain: 1, Refused: 1, BadVers: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// FuzzHandle: any bytes get silence or a well-formed answer that fits.
func FuzzHandle(f *testing.F) {
	for _, m := range []*dns.Msg{
		question(zone, dns.TypeA), question("eu-a.nodes."+zone, dns.TypeAAAA), question(zone, dns.TypeHTTPS),
		withSubnet(question(zone, dns.TypeNS), "192.0.2.0/24"), withSubnet(question("x."+zone, dns.TypeANY), "2001:db8:1::/48"),
	} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(raw(ecs(0, 1, 24, 0, 192, 0, 2), option(dns.EDNS0NSID), option(10, 1, 2, 3, 4, 5, 6, 7, 8)))
	f.Add([]byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 0xC0})
	s := newServer(f, nine())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, stream := range []bool{false, true} {
			out := s.handle(nil, b, netip.MustParseAddr("192.0.2.1"), stream)
			if out == nil {
				continue
			}
			if !stream && len(out) > maxUDP {
				t.Fatalf("%d bytes over UDP", len(out))
			}
			r := new(dns.Msg)
			if err := r.Unpack(out); err != nil {
				t.Fatalf("unpack %x: %v", out, err)
			}
			if !r.Response || out[0] != b[0] || out[1] != b[1] || r.Rcode == dns.RcodeServerFailure {
				t.Fatalf("got %v", r)
			}
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	s := newServer(b, nine())
	plain, _ := question(zone, dns.TypeA).Pack()
	subnet, _ := withSubnet(question(zone, dns.TypeHTTPS), "192.0.2.0/24").Pack()
	missing, _ := question("x."+zone, dns.TypeA).Pack()
	for _, bb := range []struct {
		name    string
		request []byte
	}{{"A", plain}, {"HTTPS with subnet", subnet}, {"no such name", missing}} {
		b.Run(bb.name, func(b *testing.B) {
			out := make([]byte, 0, maxUDP)
			b.ReportAllocs()
			for b.Loop() {
				if s.handle(out, bb.request, elsewhere, false) == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}
