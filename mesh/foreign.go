package mesh

import (
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// statement is the newest word of one origin about one member of another region.
type statement struct {
	stamp  stamp
	member Member // with the status and load that the origin gives it
}

// merge takes a digest, and reports whether it told anything new, so that it is worth passing on.
func (v *view) merge(d digest, now time.Time) (news bool) {
	if d.origin.Node == v.self.Node {
		return false
	}
	at := stamp{d.origin.Incarnation, d.version}
	if d.region == v.self.Region {
		for _, m := range d.members {
			news = v.loaded(d.origin.Node, m, at) || news
		}
		return news
	}
	for _, m := range d.members {
		news = v.say(d.origin.Node, m, at) || news
	}
	if news {
		v.recount(d.region, now)
	}
	return news
}

// loaded takes a member's own word about its load; digests say nothing else about the own region.
func (v *view) loaded(origin skein.NodeID, m Member, at stamp) bool {
	rec := v.home(m.Runner())
	if rec == nil || origin != m.Node || !rec.load.before(at) {
		return false
	}
	rec.load = at
	if rec.member.Load == m.Load {
		return false
	}
	rec.member.Load, v.changed = m.Load, true
	return true
}

// witnessed takes what this node itself sees of another region's member in the pool across regions.
func (v *view) witnessed(m Member, at stamp, now time.Time) {
	if m.Region == v.self.Region || m.Node == v.self.Node {
		return
	}
	v.say(v.self.Node, m, at)
	v.recount(m.Region, now)
}

// say stores an origin's word, and reports whether it differs from the origin's last one.
func (v *view) say(origin skein.NodeID, m Member, at stamp) bool {
	rec := v.records[m.Node]
	if rec == nil {
		if len(v.records) >= maxMembers {
			return false
		}
		rec = &record{member: Member{Node: m.Node, Region: m.Region}}
		v.records[m.Node] = rec
	}
	if rec.member.Region != m.Region {
		return false
	}
	old, known := rec.said[origin]
	if known && !old.stamp.before(at) {
		return false
	}
	if !known && len(rec.said) >= maxOrigins && !v.forgetOrigin(rec) {
		return false
	}
	if rec.said == nil {
		rec.said = map[skein.NodeID]statement{}
	}
	m.Since = time.Time{}
	rec.said[origin] = statement{stamp: at, member: m}
	return !known || old.member.Status != m.Status || old.member.Load != m.Load || !sameMeta(old.member, m)
}

// forgetOrigin makes room by dropping an origin that is gone.
func (v *view) forgetOrigin(rec *record) bool {
	for id := range rec.said {
		if o := v.records[id]; o != nil && o.member.gone() {
			delete(rec.said, id)
			return true
		}
	}
	return false
}

// recount derives the members of another region from what was said. First the origins are judged by everybody's
// word, then the members by the word of the origins that live.
func (v *view) recount(region skein.Region, now time.Time) {
	living := map[skein.NodeID]bool{}
	for _, rec := range v.records {
		if rec.member.Region != region {
			continue
		}
		for origin := range rec.said {
			if _, done := living[origin]; !done {
				living[origin] = v.speaks(origin)
			}
		}
	}
	for _, rec := range v.records {
		if rec.member.Region == region && len(rec.said) > 0 {
			v.settle(rec, func(origin skein.NodeID) bool { return living[origin] }, now)
		}
	}
}

// speaks reports whether an origin's word counts.
func (v *view) speaks(origin skein.NodeID) bool {
	rec := v.records[origin]
	switch {
	case !v.proven(origin):
		return false
	case rec == nil || origin == v.self.Node:
		return true
	case rec.member.Region == v.self.Region:
		return !rec.member.gone()
	case len(rec.said) == 0:
		return true
	}
	status, _, _ := v.tally(rec, v.proven)
	return status < Dead
}

// settle publishes what the tally says, unless it is about an earlier run than the one on record, or about a new one
// for which nobody of its region speaks.
func (v *view) settle(rec *record, living func(skein.NodeID) bool, now time.Time) {
	status, m, vouched := v.tally(rec, living)
	old := rec.member
	if !vouched && (old.Status == 0 || m.Incarnation > old.Incarnation) {
		return
	}
	if m.Incarnation < old.Incarnation || m.Incarnation == old.Incarnation && old.Status == Left {
		return
	}
	if m.Incarnation == old.Incarnation && status == old.Status && m.Load == old.Load && sameMeta(m, old) {
		return
	}
	m.Status, m.Since = status, old.Since
	if status != old.Status || m.Incarnation != old.Incarnation {
		m.Since = now
	}
	rec.member, v.changed = m, true
}

// tally counts the words about the highest incarnation: of the member's own region by majority, of this region's
// witnesses by majority, a tie going to the worse; of both the worse holds. A third region's words do not count.
// A member for which no living origin speaks is suspect. It is described by itself, else by the first living
// origin of its region, else by whoever there is. vouched says that its own region has spoken. Words of nodes that
// have not proved who they are do not count at all.
func (v *view) tally(rec *record, living func(skein.NodeID) bool) (status Status, described Member, vouched bool) {
	var top skein.Incarnation
	for origin, st := range rec.said {
		if v.proven(origin) {
			top = max(top, st.member.Incarnation)
		}
	}
	var home, witness votes
	bestRank := 3
	for _, origin := range slices.Sorted(maps.Keys(rec.said)) {
		st := rec.said[origin]
		if st.member.Incarnation != top || !v.proven(origin) {
			continue
		}
		o := v.records[origin]
		isWitness := origin == v.self.Node || o != nil && o.member.Region == v.self.Region
		rank := 2
		switch {
		case !living(origin):
		case isWitness:
			witness.add(st.member.Status)
		case o != nil && o.member.Region != rec.member.Region:
			// a third region's witnesses know no more than ours, and would outvote the member's own region
		default:
			home.add(st.member.Status)
			rank = 1
			if origin == rec.member.Node {
				rank = 0
			}
		}
		if rank < bestRank {
			bestRank, described = rank, st.member
		}
	}
	status = max(home.result(), witness.result())
	if status == 0 {
		status = Suspect
	}
	return status, described, home.total > 0
}

// votes counts words by status.
type votes struct {
	total int
	by    [Left + 1]int
}

func (c *votes) add(s Status) {
	c.total++
	c.by[s]++
}

// result gives the majority's status; 0 when nobody has spoken.
func (c *votes) result() Status {
	switch {
	case c.total == 0:
		return 0
	case c.by[Left] > 0:
		return Left
	case 2*c.by[Dead] >= c.total:
		return Dead
	case 2*(c.by[Dead]+c.by[Suspect]) >= c.total:
		return Suspect
	}
	return Alive
}

// said gives all words about other regions as digests, for a node that joins. What this region's witnesses say is
// for this region only: elsewhere is true for the pool across regions, and leaves it out.
func (v *view) said(elsewhere bool) []digest {
	type key struct {
		region skein.Region
		origin skein.NodeID
		at     stamp
	}
	groups := map[key][]Member{}
	for _, rec := range v.records {
		for origin, st := range rec.said {
			if o := v.records[origin]; elsewhere && o != nil && o.member.Region != rec.member.Region {
				continue
			}
			k := key{rec.member.Region, origin, st.stamp}
			groups[k] = append(groups[k], st.member)
		}
	}
	out := make([]digest, 0, len(groups))
	for k, members := range groups {
		out = append(out, digest{region: k.region, origin: skein.Runner{Node: k.origin, Incarnation: k.at.incarnation}, version: k.at.version, members: members})
	}
	return out
}

// ownWords gives this node's own words: about its region's members, and as a witness about others'.
func (v *view) ownWords() []Member {
	var out []Member
	for _, rec := range v.records {
		switch {
		case rec.member.Status == 0 && rec.member.Region == v.self.Region: // only a claim
		case rec.member.Region == v.self.Region:
			out = append(out, rec.member)
		default:
			if st, ok := rec.said[v.self.Node]; ok {
				out = append(out, st.member)
			}
		}
	}
	return out
}
