package mesh

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

func testMember(node, region string, inc skein.Incarnation) Member {
	return Member{
		Node: skein.NodeID(node), Region: skein.Region(region), Zone: "a", Incarnation: inc, Status: Alive,
		QUIC: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, HTTPS: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")},
	}
}

// join has m described by gossip and met.
func join(v *view, m Member, now time.Time) {
	v.gossiped(m, true, now)
	v.reached(m.Runner(), now)
}

// trust has nodes of other regions met.
func trust(v *view, ids ...skein.NodeID) {
	for _, id := range ids {
		v.proved[id] = true
	}
}

func TestViewOwnRegion(t *testing.T) {
	now := time.Unix(1000, 0)
	b := testMember("b", "eu", 5)
	run := b.Runner()
	older, newer := skein.Runner{Node: "b", Incarnation: 4}, skein.Runner{Node: "b", Incarnation: 6}
	note := func(s Status, by skein.NodeID) func(*view) {
		return func(v *view) { v.noticed(notice{about: run, status: s, observer: by}, now) }
	}
	refused := func(v *view) { v.refused(run, now) }
	hangs := func(v *view) { v.unanswered(run, now) }
	lost := func(v *view) { v.doubted(run) }
	silent := func(v *view) { v.silent(run, now) }
	reached := func(v *view) { v.reached(run, now) }
	left := func(v *view) { v.left(run, now) }
	tests := []struct {
		name  string
		steps []func(*view)
		want  Status
	}{
		{"joined", nil, Alive},
		{"tether lost alone", []func(*view){lost}, Alive},
		{"tether lost, redial refused", []func(*view){lost, refused}, Dead},
		{"tether lost, redial hangs", []func(*view){lost, hangs}, Suspect},
		{"tether lost, redial works", []func(*view){lost, reached}, Alive},
		{"doubt ends with a handshake", []func(*view){lost, reached, refused}, Suspect},
		{"refused without doubt", []func(*view){refused}, Suspect},
		{"refused twice", []func(*view){refused, refused}, Dead},
		{"hangs once", []func(*view){hangs}, Alive},
		{"hangs twice", []func(*view){hangs, hangs}, Suspect},
		{"hangs, then refused", []func(*view){lost, hangs, refused}, Dead},
		{"notice suspect", []func(*view){note(Suspect, "c")}, Suspect},
		{"notice dead is only suspicion", []func(*view){note(Dead, "c")}, Suspect},
		{"notice dead, probe refused", []func(*view){note(Dead, "c"), refused}, Dead},
		{"notice dead, probe reaches", []func(*view){note(Dead, "c"), reached}, Alive},
		{"notice dead, probe hangs", []func(*view){note(Dead, "c"), hangs}, Suspect},
		{"left by another's word", []func(*view){note(Left, "c")}, Alive},
		{"left by its own word", []func(*view){note(Left, "b")}, Left},
		{"left is final", []func(*view){left, reached, silent, refused, note(Dead, "c")}, Left},
		{"left stays when gossip revives it", []func(*view){left, func(v *view) { v.gossiped(b, true, now) }}, Left},
		{"left corrects dead", []func(*view){silent, left}, Left},
		{"silent", []func(*view){silent}, Dead},
		{"silent, then revived", []func(*view){silent, func(v *view) { v.gossiped(b, true, now) }}, Alive},
		{"dead, late metadata", []func(*view){lost, refused, func(v *view) { v.gossiped(b, false, now) }}, Dead},
		{"dead, reached again", []func(*view){lost, refused, reached}, Alive},
		{"another run answers", []func(*view){func(v *view) { v.reached(newer, now) }}, Dead},
		{"evidence about an older run", []func(*view){func(v *view) { v.silent(older, now) }, func(v *view) { v.left(older, now) }}, Alive},
		{"evidence about a run that is not known yet", []func(*view){func(v *view) { v.silent(newer, now) }}, Alive},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newView(testMember("a", "eu", 1), now)
			join(v, b, now)
			for _, step := range tt.steps {
				step(v)
			}
			if got := v.records["b"].member.Status; got != tt.want {
				t.Errorf("status %s, want %s", got, tt.want)
			}
		})
	}
}

func TestViewRestart(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, end := range []Status{Alive, Suspect, Dead, Left} {
		v := newView(testMember("a", "eu", 1), now)
		b := testMember("b", "eu", 5)
		join(v, b, now)
		v.set(v.records["b"], end, now)
		b.Incarnation = 6
		join(v, b, now.Add(time.Second))
		b.Incarnation = 4
		v.gossiped(b, true, now.Add(2*time.Second))
		got := v.records["b"].member
		if got.Status != Alive || got.Incarnation != 6 || !got.Since.Equal(now.Add(time.Second)) && end == Alive {
			t.Errorf("restart after %s: %s incarnation %d since %s, want alive incarnation 6", end, got.Status, got.Incarnation, got.Since)
		}
	}
}

func TestViewNeverTurnsOnItself(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 3), now)
	self := skein.Runner{Node: "a", Incarnation: 3}
	v.silent(self, now)
	v.refused(self, now)
	v.left(self, now)
	v.noticed(notice{about: self, status: Dead, observer: "b"}, now)
	v.gossiped(testMember("a", "eu", 9), true, now)
	if got := v.records["a"].member; got.Status != Alive || got.Incarnation != 3 {
		t.Errorf("self is %s at incarnation %d, want alive at 3", got.Status, got.Incarnation)
	}
}

func TestViewForgetsTheGone(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 1), now)
	for _, id := range []string{"b", "c", "d"} {
		join(v, testMember(id, "eu", 1), now)
	}
	v.silent(skein.Runner{Node: "b", Incarnation: 1}, now)
	v.left(skein.Runner{Node: "c", Incarnation: 1}, now.Add(time.Minute))
	v.sweep(now.Add(keepGone + time.Second))
	var got string
	for _, m := range v.list() {
		got += string(m.Node)
	}
	if got != "acd" {
		t.Errorf("members %q, want \"acd\"", got)
	}
}

// TestViewThirdRegion: what witnesses of a third region say neither counts nor travels on across regions.
func TestViewThirdRegion(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 1), now)
	trust(v, "x1", "x2", "x3", "u1")
	for _, id := range []string{"x1", "x2", "x3"} {
		x := testMember(id, "ap", 1)
		v.merge(digest{region: "ap", origin: x.Runner(), version: 1, members: []Member{x}}, now)
		say(v, id, "w", Alive, 1, now)
	}
	u := testMember("u1", "us", 1)
	v.merge(digest{region: "us", origin: u.Runner(), version: 1, members: []Member{u}}, now)
	say(v, "u1", "w", Dead, 2, now)
	v.witnessed(testMember("u1", "us", 1), stamp{1, 1}, now)
	if got := v.records["w"].member.Status; got != Dead {
		t.Errorf("w is %s, want dead: its own region says so", got)
	}
	for _, d := range v.said(true) {
		if origin := v.records[d.origin.Node].member.Region; origin != d.region {
			t.Errorf("words of %s about %s go on across regions", d.origin.Node, d.region)
		}
	}
	own := 0
	for _, d := range v.said(false) {
		if d.origin.Node == "a" {
			own++
		}
	}
	if own != 1 {
		t.Errorf("%d digests of this witness for its own region, want 1", own)
	}
}

// say merges one word of a voter of the region us.
func say(v *view, origin, about string, s Status, version uint64, now time.Time) bool {
	m := testMember(about, "us", 1)
	m.Status = s
	return v.merge(digest{region: "us", origin: skein.Runner{Node: skein.NodeID(origin), Incarnation: 1}, version: version, members: []Member{m}}, now)
}

func TestViewOtherRegion(t *testing.T) {
	now := time.Unix(1000, 0)
	type word struct {
		origin, about string
		status        Status
	}
	// All voters u1, u2, u3 have said that each other and w live; then come these words.
	tests := []struct {
		name  string
		words []word
		want  map[string]Status
	}{
		{"all live", nil, map[string]Status{"u1": Alive, "w": Alive}},
		{"one voter's word is not enough", []word{{"u1", "w", Dead}}, map[string]Status{"w": Alive}},
		{"two of three", []word{{"u1", "w", Dead}, {"u2", "w", Dead}}, map[string]Status{"w": Dead}},
		{"a voter dies", []word{{"u1", "u3", Dead}, {"u2", "u3", Dead}}, map[string]Status{"u3": Dead, "w": Alive}},
		{"a voter and a node die", []word{{"u1", "u3", Dead}, {"u2", "u3", Dead}, {"u1", "w", Dead}}, map[string]Status{"u3": Dead, "w": Dead}},
		{"a voter that is cut off talks nobody dead", []word{
			{"u1", "u2", Dead}, {"u1", "u3", Dead}, {"u1", "w", Dead}, {"u2", "u1", Dead}, {"u3", "u1", Dead},
		}, map[string]Status{"u1": Dead, "u2": Alive, "u3": Alive, "w": Alive}},
		{"suspicion", []word{{"u1", "w", Suspect}, {"u2", "w", Suspect}}, map[string]Status{"w": Suspect}},
		{"leaving needs one word", []word{{"u2", "w", Left}}, map[string]Status{"w": Left}},
		{"left is final", []word{{"u2", "w", Left}, {"u2", "w", Alive}}, map[string]Status{"w": Left}},
		{"back again", []word{{"u1", "w", Dead}, {"u2", "w", Dead}, {"u1", "w", Alive}, {"u2", "w", Alive}}, map[string]Status{"w": Alive}},
		{"own witness of a silent region", []word{{"a", "u1", Dead}, {"a", "u2", Dead}, {"a", "u3", Dead}}, map[string]Status{"u1": Dead, "u3": Dead, "w": Suspect}},
		{"another's witness", []word{{"b", "u1", Dead}}, map[string]Status{"u1": Dead, "w": Alive}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newView(testMember("a", "eu", 1), now)
			join(v, testMember("b", "eu", 1), now)
			trust(v, "u1", "u2", "u3")
			version := uint64(1)
			for _, origin := range []string{"u1", "u2", "u3"} {
				for _, about := range []string{"u1", "u2", "u3", "w"} {
					say(v, origin, about, Alive, version, now)
				}
			}
			for _, w := range tt.words {
				version++
				if w.origin == "a" {
					m := testMember(w.about, "us", 1)
					m.Status = w.status
					v.witnessed(m, stamp{1, version}, now)
					continue
				}
				say(v, w.origin, w.about, w.status, version, now)
			}
			for id, want := range tt.want {
				if got := v.records[skein.NodeID(id)].member.Status; got != want {
					t.Errorf("%s is %s, want %s", id, got, want)
				}
			}
		})
	}
}

func TestViewDigestVersions(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 1), now)
	trust(v, "u1")
	if !say(v, "u1", "w", Dead, 7, now) {
		t.Error("a first word is no news")
	}
	if say(v, "u1", "w", Alive, 6, now) {
		t.Error("an older word is news")
	}
	if say(v, "u1", "w", Dead, 8, now) {
		t.Error("the same word again is news, so it would be flooded for ever")
	}
	if got := v.records["w"].member.Status; got != Dead {
		t.Errorf("w is %s, want dead", got)
	}
	// A restarted origin counts from 1 again, at a higher incarnation.
	m := testMember("w", "us", 2)
	v.merge(digest{region: "us", origin: skein.Runner{Node: "u1", Incarnation: 2}, version: 1, members: []Member{m}}, now)
	if got := v.records["w"].member; got.Status != Alive || got.Incarnation != 2 {
		t.Errorf("w is %s at incarnation %d, want alive at 2", got.Status, got.Incarnation)
	}
	if say(v, "u1", "w", Dead, 99, now) {
		t.Error("a word of the origin's earlier run is news")
	}
}

func TestViewDigestOfOwnRegionTellsLoadOnly(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 1), now)
	b := testMember("b", "eu", 1)
	join(v, b, now)
	b.Status, b.Load = Dead, 0.5
	v.merge(digest{region: "eu", origin: skein.Runner{Node: "c", Incarnation: 1}, version: 3, members: []Member{b}}, now)
	if got := v.records["b"].member; got.Status != Alive || got.Load != 0 {
		t.Errorf("by another's word b is %s with load %g, want alive with 0", got.Status, got.Load)
	}
	v.merge(digest{region: "eu", origin: b.Runner(), version: 3, members: []Member{b}}, now)
	if got := v.records["b"].member; got.Status != Alive || got.Load != 0.5 {
		t.Errorf("by its own word b is %s with load %g, want alive with 0.5", got.Status, got.Load)
	}
}

func TestViewIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 1), now)
	for i := range maxMembers + 10 {
		v.gossiped(testMember(fmt.Sprintf("n%d", i), "eu", 1), true, now)
	}
	if got := len(v.records); got != maxMembers {
		t.Errorf("%d members, want %d", got, maxMembers)
	}
	v = newView(testMember("a", "eu", 1), now)
	for i := range maxOrigins + 10 {
		say(v, fmt.Sprintf("u%d", i), "w", Alive, 1, now)
	}
	if got := len(v.records["w"].said); got != maxOrigins {
		t.Errorf("%d origins, want %d", got, maxOrigins)
	}
}

func TestNeighbours(t *testing.T) {
	members := func(n int) []Member {
		var out []Member
		for i := range n {
			out = append(out, testMember(fmt.Sprintf("n%02d", i), "eu", 1))
		}
		return append(out, testMember("other", "us", 1))
	}
	dead := members(4)
	dead[1].Status = Dead
	tests := []struct {
		name    string
		self    skein.NodeID
		leaders string
		members []Member
		want    string
	}{
		{"alone", "n00", "", members(1), "[]"},
		{"small: all", "n01", "", members(3), "[n02 n00]"},
		{"eight: all", "n00", "", members(8), "[n01 n02 n03 n04 n05 n06 n07]"},
		{"nine: successors", "n07", "", members(9), "[n08 n00 n01]"},
		{"nine: and the leader", "n07", "n04", members(9), "[n08 n00 n01 n04]"},
		{"nine: and the leaders of all groups", "n07", "n04 n07 n05 n08 n04", members(9), "[n08 n00 n01 n04 n05]"},
		{"leader among successors", "n07", "n08", members(9), "[n08 n00 n01]"},
		{"self leads", "n07", "n07", members(9), "[n08 n00 n01]"},
		{"leader elsewhere", "n00", "other", members(2), "[n01]"},
		{"without the dead", "n00", "n01", dead, "[n02 n03]"},
	}
	for _, tt := range tests {
		var leaders []skein.NodeID
		for _, l := range strings.Fields(tt.leaders) {
			leaders = append(leaders, skein.NodeID(l))
		}
		if got := fmt.Sprint(neighbours(tt.self, "eu", leaders, tt.members)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
