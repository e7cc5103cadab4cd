package client

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go/testutils/simnet"
)

func records(t testing.TB, lines ...string) *dns.Msg {
	t.Helper()
	m := &dns.Msg{}
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func TestGather(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"addresses only", []string{"x.test. 5 IN A 10.0.0.1", "x.test. 5 IN AAAA 2001:db8::1"}, []string{"10.0.0.1:8443", "[2001:db8::1]:8443"}},
		{"the record's port and order", []string{
			"x.test. 5 IN A 10.0.0.3",
			`x.test. 5 IN HTTPS 2 . port="444" ipv4hint="10.0.0.2"`,
			`x.test. 5 IN HTTPS 1 . alpn="h3,h2" port="444" ipv4hint="10.0.0.1,10.0.0.3" ipv6hint="2001:db8::1"`,
		}, []string{"10.0.0.1:444", "10.0.0.3:444", "[2001:db8::1]:444", "10.0.0.2:444"}},
		{"an alias says nothing", []string{"x.test. 5 IN HTTPS 0 y.test."}, nil},
		{"junk addresses", []string{"x.test. 5 IN A 0.0.0.0", "x.test. 5 IN A 224.0.0.1"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, n := range gather([]*dns.Msg{records(t, tt.lines...)}, 8443) {
				got = append(got, n.QUIC.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// nameServer answers with the given records, after it has dropped some questions.
func nameServer(t *testing.T, n *fakeNet, last byte, drop int, answer *dns.Msg) netip.AddrPort {
	pc := simnet.NewSimConn(&net.UDPAddr{IP: net.IPv4(10, 0, 1, last), Port: 53}, n)
	var wg sync.WaitGroup
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 2000)
		for {
			k, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := &dns.Msg{}
			if q.Unpack(buf[:k]) != nil {
				continue
			}
			if drop--; drop >= 0 {
				continue
			}
			m := new(dns.Msg).SetReply(q)
			for _, rr := range answer.Answer {
				if rr.Header().Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
			b, err := m.Pack()
			if err != nil {
				t.Error(err)
				return
			}
			pc.WriteTo([]byte{1, 2, 3}, from) // junk first
			pc.WriteTo(b, from)
		}
	})
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, last}), 53)
}

func TestDialByDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{latency: roundTrip / 2, nodes: map[string]simnet.PacketReceiver{}, cut: map[string]bool{}}
		m := newMesh(t, n, "a", "b")
		empty := nameServer(t, n, 1, 0, &dns.Msg{})
		full := nameServer(t, n, 2, 3, records(t, service+". 5 IN A 10.0.0.1", service+". 5 IN A 10.0.0.2"))
		silent := netip.MustParseAddrPort("10.0.1.3:53")
		cfg := Config{Service: service, Roots: m.roots, DialPacket: n.dial, DNS: []netip.AddrPort{silent, empty, full}}
		c, err := Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := len(c.book.ranked(Node{})); got != 2 {
			t.Errorf("%d nodes known, want all 2 answers", got)
		}
		if _, err := c.Open(t.Context(), "s", Options{}); err != nil {
			t.Error(err)
		}
		cfg.DNS, cfg.Patience = []netip.AddrPort{silent}, 3*time.Second
		if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrUnreachable) {
			t.Errorf("no name server: %v, want ErrUnreachable", err)
		}
	})
}

func FuzzGather(f *testing.F) {
	b, err := records(f, `x.test. 5 IN HTTPS 1 . port="444" ipv4hint="10.0.0.1"`, "x.test. 5 IN A 10.0.0.1").Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &dns.Msg{}
		if m.Unpack(b) != nil {
			return
		}
		for _, n := range gather([]*dns.Msg{m}, 8443) {
			if !usable(n.QUIC) {
				t.Errorf("%s cannot be dialled", n.QUIC)
			}
		}
	})
}
