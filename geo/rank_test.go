package geo

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
)

// mesh makes nodes from words such as "eu-a", "us-b+suspect" or "eu-c2+draining".
func mesh(words ...string) []Node {
	var out []Node
	for _, w := range words {
		name, flag, _ := strings.Cut(w, "+")
		region, zone, _ := strings.Cut(name, "-")
		n := Node{Node: skein.NodeID(name), Region: skein.Region(region), Zone: skein.Zone(zone[:1]), Healthy: true, Port: 8443}
		switch flag {
		case "suspect":
			n.Suspect = true
		case "draining":
			n.Draining = true
		case "dead":
			n.Healthy = false
		case "full":
			n.Load = 1
		case "far":
			n.RTT = 400 * time.Millisecond
		case "near":
			n.RTT = time.Millisecond
		}
		out = append(out, n)
	}
	return out
}

func ids(nodes []Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, string(n.Node))
	}
	return strings.Join(out, " ")
}

// TestRank uses one node in each place where the order must not hang on the hash.
func TestRank(t *testing.T) {
	l := &Locator{Regions: world}
	berlin := Location{At: Coordinates{52.5, 13.4}, Region: "eu", Source: ByDatabase}
	seattle := Location{At: Coordinates{47.6, -122.3}, Region: "us", Source: ByDatabase}
	tests := []struct {
		name  string
		nodes []Node
		at    Location
		want  string
	}{
		{"nearest region first", mesh("ap-a", "us-a", "eu-a"), berlin, "eu-a us-a ap-a"},
		{"the other coast", mesh("ap-a", "us-a", "eu-a"), seattle, "us-a ap-a eu-a"},
		{"the table decides outright", mesh("ap-a+near", "us-a+near", "eu-a+far"), l.Home("eu"), "eu-a us-a ap-a"},
		{"suspect last", mesh("eu-a+suspect", "us-a", "ap-a"), l.Home("eu"), "us-a ap-a eu-a"},
		{"draining and dead are out", mesh("eu-a+draining", "eu-b+dead", "us-a"), l.Home("eu"), "us-a"},
		{"a suspect rather than a draining one", mesh("eu-a+draining", "us-a+suspect"), l.Home("eu"), "us-a"},
		{"draining when nothing else is left", mesh("us-a+draining", "eu-a+draining", "eu-b+dead"), l.Home("eu"), "eu-a us-a"},
		{"dead when nothing else is left", mesh("us-a+dead", "eu-b+dead"), l.Home("eu"), "eu-b us-a"},
		{"a measured round trip corrects the map", mesh("eu-a+far", "us-a+near", "ap-a"), berlin, "us-a ap-a eu-a"},
		{"unknown regions go last", mesh("xx-a", "ap-a", "eu-a"), berlin, "eu-a ap-a xx-a"},
		{"a region that is not on the map", mesh("us-a", "xx-a"), l.Home("xx"), "xx-a us-a"},
		{"no nodes", nil, berlin, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for key := range uint64(16) {
				if got := ids(l.Rank(tt.nodes, tt.at, key)); got != tt.want {
					t.Fatalf("key %d: got %q, want %q", key, got, tt.want)
				}
			}
		})
	}
}

func TestRankSpreadsZones(t *testing.T) {
	var l *Locator
	tests := []struct {
		name  string
		nodes []Node
		zones int // among the first three
	}{
		{"a crowded zone", mesh("eu-a1", "eu-a2", "eu-a3", "eu-a4", "eu-b1"), 2},
		{"one zone only", mesh("eu-a1", "eu-a2", "eu-a3", "eu-a4"), 1},
		{"the second zone is suspect", mesh("eu-a1", "eu-a2", "eu-a3", "eu-b1+suspect"), 1},
		{"the second zone is abroad", mesh("eu-a1", "eu-a2", "eu-a3", "us-a1"), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for key := range uint64(64) {
				got := l.Rank(tt.nodes, l.Home("eu"), key)
				zones := map[string]bool{}
				for _, n := range got[:3] {
					zones[string(n.Region)+"/"+string(n.Zone)] = true
				}
				if len(zones) < tt.zones || len(got) != len(tt.nodes) {
					t.Fatalf("key %d: got %s", key, ids(got))
				}
				if got[0].Region != "eu" || got[1].Region != "eu" {
					t.Fatalf("key %d: got %s, want the nearest region first", key, ids(got))
				}
			}
		})
	}
}

// TestLoadMovesShare: a full node is first for few keys, and its keys alone have moved.
func TestLoadMovesShare(t *testing.T) {
	var l *Locator
	const keys = 4000
	idle, loaded := mesh("eu-a", "eu-b", "eu-c"), mesh("eu-a", "eu-b+full", "eu-c")
	before, after := map[skein.NodeID]int{}, map[skein.NodeID]int{}
	for key := range uint64(keys) {
		x, y := l.Rank(idle, l.Home("eu"), key)[0].Node, l.Rank(loaded, l.Home("eu"), key)[0].Node
		before[x]++
		after[y]++
		if x != y && x != "eu-b" {
			t.Fatalf("key %d moved from %s to %s", key, x, y)
		}
	}
	for id, n := range before {
		if math.Abs(float64(n)-keys/3) > keys/20 {
			t.Errorf("idle %s is first for %d of %d keys, want a third", id, n, keys)
		}
	}
	if n := after["eu-b"]; n == 0 || n > keys/10 {
		t.Errorf("full eu-b is first for %d of %d keys, want few", n, keys)
	}
}

// TestOnlyTheShareOfALeaverMoves: whoever leaves, the others keep their order.
func TestOnlyTheShareOfALeaverMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Locator{Regions: world}
		var nodes []Node
		for i := range rapid.IntRange(2, 12).Draw(t, "nodes") {
			nodes = append(nodes, Node{
				Node:    skein.NodeID(fmt.Sprintf("n%d", i)),
				Region:  rapid.SampledFrom([]skein.Region{"eu", "us", "ap", "xx"}).Draw(t, "region"),
				Zone:    rapid.SampledFrom([]skein.Zone{"a", "b", "c"}).Draw(t, "zone"),
				Healthy: true, Suspect: rapid.Bool().Draw(t, "suspect"),
				Load: rapid.Float32Range(0, 1).Draw(t, "load"),
				RTT:  time.Duration(rapid.IntRange(0, 200).Draw(t, "rtt")) * time.Millisecond,
			})
		}
		at := l.Home(rapid.SampledFrom([]skein.Region{"eu", "us", "xx", ""}).Draw(t, "home"))
		gone := rapid.IntRange(0, len(nodes)-1).Draw(t, "leaver")
		key := rapid.Uint64().Draw(t, "key")
		before := l.Rank(nodes, at, key)
		after := l.Rank(slices.Delete(slices.Clone(nodes), gone, gone+1), at, key)
		if left := nodes[gone].Node; before[0].Node != left && before[0].Node != after[0].Node {
			t.Fatalf("%s left, but the first moved from %s to %s", left, before[0].Node, after[0].Node)
		}
		if len(after) != len(before)-1 {
			t.Fatalf("got %d nodes, want %d", len(after), len(before)-1)
		}
	})
}

// TestRankIsTheSameInAnyOrder: all nodes must give the same answer, however their membership is ordered.
func TestRankIsTheSameInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Locator{Regions: world}
		nodes := mesh("eu-a1", "eu-a2", "eu-a3+full", "eu-b1+suspect", "us-a1", "us-b1+near", "ap-a1+draining")
		key := rapid.Uint64().Draw(t, "key")
		want := ids(l.Rank(nodes, l.Home("eu"), key))
		if got := ids(l.Rank(rapid.Permutation(nodes).Draw(t, "nodes"), l.Home("eu"), key)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestRankKeepsItsInput(t *testing.T) {
	var l *Locator
	nodes := mesh("us-a", "eu-a1", "eu-a2", "eu-a3", "eu-b1")
	want := ids(nodes)
	for key := range uint64(8) {
		l.Rank(nodes, l.Home("eu"), key)
	}
	if got := ids(nodes); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOddLoads(t *testing.T) {
	for _, load := range []float32{-1, 2, float32(math.NaN()), float32(math.Inf(1))} {
		if w := rendezvous(Node{Node: "n", Load: load}, 7); !(w > 0) || math.IsInf(w, 0) {
			t.Errorf("load %v: got weight %v, want a positive number", load, w)
		}
	}
}

func TestKey(t *testing.T) {
	p := netip.MustParsePrefix
	if Key(p("192.0.2.0/24")) != Key(p("192.0.2.9/24")) {
		t.Error("host bits change the key")
	}
	if Key(p("192.0.2.0/24")) == Key(p("192.0.2.0/23")) || Key(p("192.0.2.0/24")) == Key(p("192.0.3.0/24")) {
		t.Error("different prefixes have the same key")
	}
}

func BenchmarkRank(b *testing.B) {
	l := &Locator{Regions: world}
	nodes := mesh("eu-a", "eu-b", "eu-c", "us-a", "us-b", "us-c", "ap-a", "ap-b", "ap-c")
	b.ReportAllocs()
	for key := uint64(0); b.Loop(); key++ {
		l.Rank(nodes, l.Home("eu"), key)
	}
}
