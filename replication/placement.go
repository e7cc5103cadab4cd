package replication

import (
	"cmp"
	"maps"
	"slices"

	"github.com/skein-mesh/skein"
)

// health is what the leader knows of a node for as long as it needs to.
type health uint8

const (
	unsure health = iota // suspect, new, or gone only just now: it is neither used nor replaced
	well                 // healthy for the stable period
	lost                 // dead, left or unlisted for the stable period
)

// site is a node that is in the configuration, or could be.
type site struct {
	node     skein.NodeID
	zone     skein.Zone
	health   health
	up       bool // healthy now
	draining bool
	member   bool // in the configuration
	voter    bool
	caughtUp bool // a member whose lag is under a second
}

type action uint8

const (
	stay    action = iota
	add            // as a non-voter
	promote        // a non-voter to voter
	demote         // a voter to non-voter
	remove         // from the configuration
)

// step is one change of the configuration.
type step struct {
	action action
	node   skein.NodeID
}

// plan gives the one next step towards voters spread over zones and a spare in each zone. It is pure; leader is
// never demoted while another will do. A server is removed only if the voters that stay are as many as are
// wanted and a majority of them is healthy.
func plan(sites []site, leader skein.NodeID) step {
	p := newPlacement(sites, leader)
	for _, rule := range []func() step{p.removeVoter, p.removeSpare, p.promote, p.demote, p.addSpare, p.dropSpare} {
		if s := rule(); s.action != stay {
			return s
		}
	}
	return step{}
}

type placement struct {
	sites  []site
	leader skein.NodeID
	voters map[skein.Zone]int // not lost
	spares map[skein.Zone]int // not lost
	total  int                // voters, lost ones too
	living int                // voters that are not lost
	want   int
}

func newPlacement(sites []site, leader skein.NodeID) *placement {
	p := &placement{
		sites:  slices.SortedFunc(slices.Values(sites), func(a, b site) int { return cmp.Compare(a.node, b.node) }),
		leader: leader, voters: map[skein.Zone]int{}, spares: map[skein.Zone]int{},
	}
	zones := map[skein.Zone]bool{}
	for _, s := range p.sites {
		if s.voter {
			p.total++
		}
		if s.health == lost {
			continue
		}
		if s.zone != "" {
			zones[s.zone] = true
		}
		switch {
		case s.voter:
			p.living++
			p.voters[s.zone]++
		case s.member:
			p.spares[s.zone]++
		}
	}
	p.want = wantedVoters(len(zones))
	return p
}

// wantedVoters is five from five zones on, otherwise three.
func wantedVoters(zones int) int {
	if zones >= 5 {
		return 5
	}
	return 3
}

// removeVoter takes out a lost voter that has been replaced.
func (p *placement) removeVoter() step {
	if p.total-1 < p.want || !p.majorityWithout("") {
		return step{}
	}
	return p.first(remove, func(s site) bool { return s.voter && s.health == lost })
}

// majorityWithout reports whether most of the voters that stay when one goes are healthy: gossip says that they are up,
// and they have what the leader has committed. With no name the one that goes is not healthy.
func (p *placement) majorityWithout(node skein.NodeID) bool {
	healthy := 0
	for _, s := range p.sites {
		if s.voter && s.up && s.caughtUp && s.node != node {
			healthy++
		}
	}
	return healthy > (p.total-1)/2
}

func (p *placement) removeSpare() step {
	return p.first(remove, func(s site) bool { return s.member && !s.voter && s.health == lost })
}

// promote makes a voter where one is missing: too few live ones, or a zone without beside a zone with two.
func (p *placement) promote() step {
	var best *site
	for i := range p.sites {
		s := &p.sites[i]
		if !s.member || s.voter || s.health != well || !s.up || !s.caughtUp || s.draining {
			continue
		}
		if best == nil || p.voters[s.zone] < p.voters[best.zone] {
			best = s
		}
	}
	if best == nil {
		return step{}
	}
	crowded := p.voters[best.zone] == 0 && slices.Max(append([]int{0}, slices.Collect(maps.Values(p.voters))...)) > 1
	if p.living < p.want || crowded && p.living == p.want {
		return step{promote, best.node}
	}
	return step{}
}

// demote makes a surplus voter a spare: from the fullest zone, not the leader, a draining one first.
func (p *placement) demote() step {
	if p.living <= p.want || p.living < p.total {
		return step{} // a lost voter goes first
	}
	var best *site
	for i := range p.sites {
		s := &p.sites[i]
		if s.voter && s.node != p.leader && p.majorityWithout(s.node) && (best == nil || p.sooner(s, best)) {
			best = s
		}
	}
	if best == nil {
		return step{}
	}
	return step{demote, best.node}
}

func (p *placement) sooner(a, b *site) bool {
	if x, y := p.voters[a.zone], p.voters[b.zone]; x != y {
		return x > y
	}
	if a.draining != b.draining {
		return a.draining
	}
	return a.node > b.node
}

// addSpare gives each zone one non-voter.
func (p *placement) addSpare() step {
	return p.first(add, func(s site) bool {
		return !s.member && s.up && !s.draining && s.health != lost && p.spares[s.zone] == 0
	})
}

// dropSpare takes out a second spare of a zone, the one that is of less use.
func (p *placement) dropSpare() step {
	drop := func(s site) bool { return s.member && !s.voter && p.spares[s.zone] > 1 }
	if s := p.first(remove, func(s site) bool { return drop(s) && (!s.up || s.draining) }); s.action != stay {
		return s
	}
	if s := p.first(remove, func(s site) bool { return drop(s) && !s.caughtUp }); s.action != stay {
		return s
	}
	return p.first(remove, drop)
}

// first applies a to the first site, in the order of names, that is meant.
func (p *placement) first(a action, meant func(site) bool) step {
	for _, s := range p.sites {
		if meant(s) {
			return step{a, s.node}
		}
	}
	return step{}
}

// survivesZone reports whether a majority of the voters stays when any one zone is lost.
func survivesZone(voters map[skein.Zone]int) bool {
	total := 0
	for _, n := range voters {
		total += n
	}
	if total == 0 {
		return false
	}
	for _, n := range voters {
		if total-n < total/2+1 {
			return false
		}
	}
	return true
}
