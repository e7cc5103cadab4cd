package replication

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
)

// randomRegion makes a region of up to four nodes in each of up to six zones, of any health, with a leader that is well.
func randomRegion(r *rand.Rand) (sites []site, leader skein.NodeID) {
	for z := range 1 + r.IntN(6) {
		for n := range 1 + r.IntN(4) {
			zone := string(rune('a' + z))
			s := site{node: skein.NodeID(fmt.Sprint(zone, n)), zone: skein.Zone(zone), draining: r.IntN(8) == 0}
			s.member = r.IntN(2) == 0
			s.voter = s.member && r.IntN(2) == 0
			switch r.IntN(8) {
			case 0:
				s.health = lost
			case 1:
				s.health, s.up = unsure, r.IntN(2) == 0
			default:
				s.health, s.up = well, true
			}
			s.caughtUp = s.member && s.up && r.IntN(6) > 0
			sites = append(sites, s)
		}
	}
	lead := &sites[r.IntN(len(sites))]
	lead.member, lead.voter, lead.health, lead.up, lead.caughtUp = true, true, well, true, true
	return sites, lead.node
}

// TestPlanKeepsItsRules takes steps from random beginnings until there are none, and holds each against the rules: one
// change at a time; only who is well, up, caught up and not draining is promoted; a voter goes only when those that stay
// are at least as many as are wanted and most of them are healthy; the leader stays.
func TestPlanKeepsItsRules(t *testing.T) {
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 7))
		sites, leader := randomRegion(r)
		begin := slices.Clone(sites)
		took := 0
		for s := plan(sites, leader); s.action != stay; s = plan(sites, leader) {
			if fault := broken(sites, leader, s); fault != "" {
				t.Fatalf("seed %d: %s %v of\n%s", seed, fault, s, show(sites))
			}
			sites = after(sites, s)
			if took++; took > 4*len(sites) {
				t.Fatalf("seed %d: no end after %d steps from\n%s\nat\n%s", seed, took, show(begin), show(sites))
			}
		}
		if fault := unfinished(sites); fault != "" {
			t.Fatalf("seed %d: ended with %s:\n%s", seed, fault, show(sites))
		}
	}
}

// broken gives the rule that a step breaks.
func broken(sites []site, leader skein.NodeID, s step) string {
	voters, healthy, zones := 0, 0, map[skein.Zone]bool{}
	var who site
	for _, x := range sites {
		if x.node == s.node {
			who = x
		}
		if x.health != lost {
			zones[x.zone] = true
		}
		if x.voter && (x.node != s.node || s.action == promote) {
			voters++
			if x.up && x.caughtUp {
				healthy++
			}
		}
	}
	goes := who.voter && (s.action == remove || s.action == demote)
	switch {
	case goes && who.node == leader:
		return "the leader goes:"
	case goes && voters < wantedVoters(len(zones)):
		return "too few voters stay:"
	case goes && 2*healthy <= voters:
		return "most of the voters that stay are not healthy:"
	case goes && s.action == remove && who.health != lost:
		return "a voter goes that is not lost:"
	case s.action == promote && (who.voter || !who.member || who.health != well || !who.up || !who.caughtUp || who.draining):
		return "not fit to vote:"
	case s.action == add && (who.member || !who.up || who.draining):
		return "not fit to join:"
	}
	return ""
}

// after carries a step out; who joins has caught up by the next one.
func after(sites []site, s step) []site {
	sites = slices.Clone(sites)
	for i := range sites {
		x := &sites[i]
		if x.node != s.node {
			continue
		}
		switch s.action {
		case add:
			x.member, x.caughtUp = true, true
		case promote:
			x.voter = true
		case demote:
			x.voter = false
		case remove:
			x.member, x.voter, x.caughtUp = false, false, false
		}
	}
	return sites
}

// unfinished tells what a settled region lacks: it has as many voters that are not lost as are wanted if it has nodes fit for it.
func unfinished(sites []site) string {
	living, fit, zones := 0, 0, map[skein.Zone]bool{}
	for _, x := range sites {
		if x.health != lost {
			zones[x.zone] = true
		}
		if x.voter && x.health != lost {
			living++
		}
		if x.member && !x.voter && x.health == well && x.up && x.caughtUp && !x.draining {
			fit++
		}
	}
	if want := wantedVoters(len(zones)); living < want && fit > 0 {
		return fmt.Sprintf("%d voters of %d, and %d fit spares", living, want, fit)
	}
	return ""
}

func show(sites []site) string {
	var lines strings.Builder
	for _, s := range sites {
		fmt.Fprintf(&lines, "%+v\n", s)
	}
	return lines.String()
}
