package client

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

func place(id, region, zone string, last byte) Node {
	return Node{ID: skein.NodeID(id), Region: skein.Region(region), Zone: skein.Zone(zone), QUIC: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 8443)}
}

func ids(nodes []Node) (out []string) {
	for _, n := range nodes {
		out = append(out, string(n.ID))
	}
	return out
}

func TestRanked(t *testing.T) {
	a1, a2, b, us := place("a1", "eu", "a", 1), place("a2", "eu", "a", 2), place("b", "eu", "b", 3), place("us", "us", "a", 4)
	tests := []struct {
		name string
		near Node
		do   func(b *book)
		want []string
	}{
		{"as configured", Node{}, func(*book) {}, []string{"us", "a1", "a2", "b"}},
		{"another zone, then the region, then abroad", a1, func(*book) {}, []string{"b", "a1", "a2", "us"}},
		{"one that failed is last", a1, func(k *book) { k.failed(b.QUIC) }, []string{"a1", "a2", "us", "b"}},
		{"one that leaves comes before one that failed", a1, func(k *book) { k.goes(b.QUIC); k.failed(a1.QUIC) }, []string{"a2", "us", "b", "a1"}},
		{"an answer is forgiveness", a1, func(k *book) { k.failed(b.QUIC); k.answered(b) }, []string{"b", "a1", "a2", "us"}},
		{"so is time", a1, func(k *book) { k.failed(b.QUIC); time.Sleep(3 * time.Second) }, []string{"b", "a1", "a2", "us"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &book{}
				k.add([]Node{us, a1, a2, b})
				tt.do(k)
				if got := ids(k.ranked(tt.near)); !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestTold(t *testing.T) {
	k := &book{}
	k.add([]Node{{QUIC: place("", "", "", 1).QUIC}})
	k.told([]Node{place("a", "eu", "a", 1), place("b", "eu", "b", 2), place("c", "eu", "c", 3)}, netip.AddrPort{})
	k.told([]Node{place("d", "eu", "d", 4)}, place("", "", "", 3).QUIC)
	got := ids(k.ranked(Node{}))
	slices.Sort(got)
	if want := []string{"a", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: what was configured, where we are, what the newest list has", got, want)
	}
	var many []*wire.Peer
	for i := range 500 {
		many = append(many, &wire.Peer{Addresses: []string{fmt.Sprintf("10.1.%d.%d:1", i/250, i%250), "[::]:1", "x"}})
	}
	k.told(peers(many), netip.AddrPort{})
	if got := len(k.ranked(Node{})); got > maxNodes {
		t.Errorf("%d nodes remembered, want at most %d", got, maxNodes)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second, time.Second} {
		if got := backoff(n, firstBackoff, maxBackoff); got < want/2 || got > want {
			t.Errorf("try %d: %s, want %s to %s", n, got, want/2, want)
		}
	}
	if got := backoff(1<<30, firstBackoff, maxBackoff); got > maxBackoff {
		t.Errorf("try %d: %s", 1<<30, got)
	}
}
