package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/wire"
)

func TestPending(t *testing.T) {
	prefix := func(s string) netip.Prefix {
		_, p := sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)))
		return p
	}
	var p pending
	ended := map[*handshake]bool{}
	enter := func(n int, source netip.Prefix, member bool) (all []*handshake) {
		for range n {
			h := &handshake{source: source, member: member}
			h.end = func() { ended[h] = true }
			p.enter(h)
			all = append(all, h)
		}
		return all
	}
	member := enter(maxOfMember+1, prefix("10.0.0.1:1"), true)
	stranger := enter(maxOfSource+2, prefix("[2001:db8::1]:1"), false)
	neighbour := enter(1, prefix("[2001:db8::2]:1"), false) // the same /64
	other := enter(1, prefix("[2001:db8:0:1::1]:1"), false)
	unknown := enter(maxOfSource+1, netip.Prefix{}, false)
	for _, tt := range []struct {
		name string
		of   []*handshake
		want int // ended, the oldest
	}{
		{"member", member, 1}, {"stranger", stranger, 3}, {"neighbour", neighbour, 0}, {"other", other, 0}, {"unknown", unknown, 0},
	} {
		for i, h := range tt.of {
			if ended[h] != (i < tt.want) {
				t.Errorf("%s: number %d ended: %t, want the %d oldest", tt.name, i, ended[h], tt.want)
			}
		}
	}
	left := len(stranger) - 3 + len(neighbour) + len(other) + len(unknown)
	for range left {
		p.makeRoom()
	}
	if ended[member[1]] || !ended[unknown[maxOfSource]] {
		t.Error("a member's handshake ended for a newcomer, with strangers' left")
	}
	p.makeRoom()
	if !ended[member[1]] || ended[member[2]] {
		t.Error("want the oldest member's handshake to end when there are no others")
	}
	for _, h := range member {
		p.leave(h)
	}
	p.makeRoom()
	if len(p.running) != 0 {
		t.Errorf("%d handshakes are pending after all left", len(p.running))
	}
}

// TestPendingRush is a crowd that comes at once and means it: nobody's handshake is ended for another's, until it takes
// too long.
func TestPendingRush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pending
		source := netip.MustParsePrefix("10.0.0.1/32")
		slots := make(chan struct{}, maxHandshakes)
		ended := 0
		rush := func(n int) {
			for range n {
				if !p.place(t.Context(), slots) {
					t.Fatal("no place")
				}
				h := &handshake{source: source, began: time.Now(), end: func() { ended++; <-slots }}
				p.enter(h)
				p.spoken(context.WithValue(t.Context(), handshakeKey{}, h))
			}
		}
		rush(maxHandshakes)
		if ended != 0 {
			t.Errorf("%d of %d handshakes were ended, want none", ended, maxHandshakes)
		}
		began := time.Now()
		rush(1)
		if waited := time.Since(began); ended == 0 || waited < mayTake || waited > mayTake+2*roomEvery {
			t.Errorf("one more: %d ended after %v, want the first to go when it takes longer than %v", ended, waited, mayTake)
		}
	})
}

// TestSilentConnections is a crowd that connects and says nothing: those who speak get in at once.
func TestSilentConnections(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ca := newTestCA(t)
	service, roots := serviceCertificate(t, ca)
	s := listenLoopback(t, issueIdentity(t, ca, "eu-a", "eu"), []tls.Certificate{service})
	start(t, s.Run)
	var silent []net.Conn
	for range 300 {
		conn, err := Host{}.Dial(ctx, s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	b := issueIdentity(t, ca, "eu-b", "eu")
	for name, conf := range map[string]*tls.Config{
		"https":  {RootCAs: roots, ServerName: "assistant.skein.test", NextProtos: []string{"h2"}},
		"tether": b.client(wire.ALPNTether, "eu-a"),
	} {
		raw, err := Host{}.Dial(ctx, s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, 3*time.Second)
		if err := tls.Client(raw, conf).HandshakeContext(within); err != nil {
			t.Errorf("%s: %v after %s", name, err, time.Since(began))
		}
		cancel()
	}
	silent[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, silent[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a silent connection stays open")
	}
}
