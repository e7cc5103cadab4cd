package replication

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// sitesOf reads "a1:v b1:vl c1:s d1": v voter, s spare, l lost, u unsure and down, d draining, b behind; the
// zone is the letter of the name.
func sitesOf(text string) []site {
	var sites []site
	for _, word := range strings.Fields(text) {
		name, flags, _ := strings.Cut(word, ":")
		has := func(f string) bool { return strings.Contains(flags, f) }
		s := site{node: skein.NodeID(name), zone: skein.Zone(name[:1]), health: well, up: true, caughtUp: !has("b")}
		s.voter, s.member = has("v"), has("v") || has("s")
		s.draining = has("d")
		if has("l") {
			s.health, s.up = lost, false
		}
		if has("u") {
			s.health, s.up = unsure, false
		}
		sites = append(sites, s)
	}
	return sites
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name, sites string
		want        step
	}{
		{"three zones, settled", "a1:v b1:v c1:v", step{}},
		{"a spare for a zone with two nodes", "a1:v a2 b1:v c1:v", step{add, "a2"}},
		{"a fourth zone gets a spare", "a1:v b1:v c1:v d1", step{add, "d1"}},
		{"a draining node is no spare", "a1:v a2:d b1:v c1:v", step{}},
		{"one spare a zone", "a1:v a2:s a3 b1:v c1:v", step{}},
		{"a second spare leaves, the later name stays no longer than needed", "a1:v a2:s a3:s b1:v c1:v", step{remove, "a2"}},
		{"a second spare that lags leaves first", "a1:v a2:s a3:sb b1:v c1:v", step{remove, "a3"}},
		{"a lost voter is replaced first by the spare of its zone", "a1:v a2:s b1:v b2:s c1:vl c2:s", step{promote, "c2"}},
		{"or by another one", "a1:v a2:s b1:v c1:vl", step{promote, "a2"}},
		{"then it is removed", "a1:v b1:v c1:vl c2:v", step{remove, "c1"}},
		{"not while it is only suspect", "a1:v b1:v c1:vu c2:s", step{}},
		{"nobody to replace it: it stays", "a1:v b1:v c1:vl", step{}},
		{"no majority up: nobody is removed", "a1:v b1:vu c1:vl d1:vu", step{}},
		{"no majority that has what is committed: nobody is removed", "a1:v b1:vb c1:vl d1:vb", step{}},
		{"nor demoted", "a1:v b1:vb c1:vb d1:vb", step{}},
		{"a spare that is new or was away is not promoted", "a1:v b1:v c1:vl c2:su", step{}},
		{"a voter that was away a moment ago is not replaced", "a1:v b1:v c1:vu c2:s", step{}},
		{"a spare that lags is not promoted", "a1:v b1:v c1:vl c2:sb", step{}},
		{"a spare that drains is not promoted", "a1:v b1:v c1:vl c2:sd", step{}},
		{"a lost spare is removed", "a1:v a2:sl b1:v c1:v", step{remove, "a2"}},
		{"five zones: a fourth voter", "a1:v b1:v c1:v d1:s e1:s", step{promote, "d1"}},
		{"five zones: a fifth voter", "a1:v b1:v c1:v d1:v e1:s", step{promote, "e1"}},
		{"five zones, settled", "a1:v b1:v c1:v d1:v e1:v", step{}},
		{"a fifth zone lost: its voter goes", "a1:v b1:v c1:v d1:v e1:vl", step{remove, "e1"}},
		{"then four are one too many", "a1:v b1:v c1:v d1:v", step{demote, "d1"}},
		{"the leader keeps its vote", "a1:v b1:v a2:v c1:v", step{demote, "a2"}},
		{"a zone came back beside a crowded one", "a1:v a2:v b1:v c1:s", step{promote, "c1"}},
		{"and the crowd is thinned", "a1:v a2:v b1:v c1:v", step{demote, "a2"}},
		{"one zone, one voter: grow to three", "a1:v a2:s a3", step{promote, "a2"}},
		{"two nodes: both vote", "a1:v b1:s", step{promote, "b1"}},
		{"an unlisted voter is kept while unsure", "a1:v b1:v c1:vu", step{}},
	}
	for _, tt := range tests {
		if got := plan(sitesOf(tt.sites), "a1"); got != tt.want {
			t.Errorf("%s: plan(%q): got %v, want %v", tt.name, tt.sites, got, tt.want)
		}
	}
}

func TestSurvivesZone(t *testing.T) {
	tests := []struct {
		voters map[skein.Zone]int
		want   bool
	}{
		{nil, false},
		{map[skein.Zone]int{"a": 1}, false},
		{map[skein.Zone]int{"a": 1, "b": 1}, false},
		{map[skein.Zone]int{"a": 2, "b": 1}, false},
		{map[skein.Zone]int{"a": 1, "b": 1, "c": 1}, true},
		{map[skein.Zone]int{"a": 2, "b": 1, "c": 1}, false},
		{map[skein.Zone]int{"a": 2, "b": 2, "c": 1}, true},
	}
	for _, tt := range tests {
		if got := survivesZone(tt.voters); got != tt.want {
			t.Errorf("survivesZone(%v): got %v, want %v", tt.voters, got, tt.want)
		}
	}
}

func TestCensusWaitsForTheStablePeriod(t *testing.T) {
	c := &census{stable: 10 * time.Second, seen: map[skein.NodeID]sighting{}}
	t0 := time.Unix(0, 0)
	servers := []raft.Server{{ID: "a1"}, {ID: "x1"}}
	look := func(after time.Duration, cand Candidate) (health, health) {
		var a, x health
		for _, s := range c.look(servers, []Candidate{cand}, func(raft.ServerID) uint64 { return 0 }, t0.Add(after)) {
			if s.node == "a1" {
				a = s.health
			} else {
				x = s.health
			}
		}
		return a, x
	}
	up, gone := Candidate{Node: "a1", Zone: "a", Healthy: true}, Candidate{Node: "a1", Zone: "a", Gone: true}
	tests := []struct {
		after            time.Duration
		is               Candidate
		listed, unlisted health
	}{
		{0, up, unsure, unsure},
		{9 * time.Second, up, unsure, unsure},
		{10 * time.Second, up, well, unsure},
		{11 * time.Second, gone, unsure, unsure},
		{20 * time.Second, gone, unsure, unsure},
		{21 * time.Second, gone, lost, unsure},
		{22 * time.Second, up, unsure, unsure},
		{60 * time.Second, up, well, lost}, // six periods for a node that gossip does not know
	}
	for _, tt := range tests {
		if a, x := look(tt.after, tt.is); a != tt.listed || x != tt.unlisted {
			t.Errorf("after %v: got %d and %d, want %d and %d", tt.after, a, x, tt.listed, tt.unlisted)
		}
	}
}

// TestCensusKnowsWhoLags: a member has caught up when it has confirmed what was committed at the look before, a second ago.
func TestCensusKnowsWhoLags(t *testing.T) {
	c := &census{stable: 10 * time.Second, seen: map[skein.NodeID]sighting{}}
	servers := []raft.Server{{ID: "a1"}}
	list := []Candidate{{Node: "a1", Zone: "a", Healthy: true}, {Node: "b1", Zone: "b", Healthy: true}}
	for _, x := range []struct {
		last, confirmed uint64 // committed at the look before; confirmed now
		want            bool
	}{
		{0, 0, false}, // the first look knows nothing
		{100, 0, false},
		{100, 99, false},
		{100, 100, true},
		{100, 250, true},
	} {
		c.commit = x.last
		for _, s := range c.look(servers, list, func(raft.ServerID) uint64 { return x.confirmed }, time.Unix(0, 0)) {
			if want := x.want && s.node == "a1"; s.caughtUp != want { // b1 is no member
				t.Errorf("%s with %d confirmed of %d a second ago: caught up is %v, want %v", s.node, x.confirmed, x.last, s.caughtUp, want)
			}
		}
	}
}
