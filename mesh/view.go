package mesh

import (
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
)

// view merges the evidence about all members. It is pure: time comes in, and what to do about a change is the
// caller's. Two rules hold everywhere: evidence about a lower incarnation never counts, and Left is final for
// its incarnation. For members of the own region the newest evidence wins; members of other regions follow
// what their region's voters say (foreign.go).
type view struct {
	self    Member
	records map[skein.NodeID]*record
	proved  map[skein.NodeID]bool // nodes of other regions that have shown this node their certificate
	changed bool                  // since the last call of list
}

// record is what is known about one member.
type record struct {
	member Member
	doubt  bool                       // own region: something other than a refused dial speaks against it
	said   map[skein.NodeID]statement // other regions: by origin
	load   stamp                      // own region: of the newest load
	claim  *Member                    // own region: a run that gossip describes and that has shown no certificate yet
	tried  bool                       // somebody has begun to ask for the certificate
}

// stamp orders what one origin says.
type stamp struct {
	incarnation skein.Incarnation
	version     uint64
}

func (s stamp) before(t stamp) bool {
	return s.incarnation < t.incarnation || s.incarnation == t.incarnation && s.version < t.version
}

const (
	maxMembers = 2048
	maxOrigins = 32 // that speak about one member
	keepGone   = 10 * time.Minute
)

func newView(self Member, now time.Time) *view {
	self.Status, self.Since = Alive, now
	v := &view{self: self, records: map[skein.NodeID]*record{}, proved: map[skein.NodeID]bool{}, changed: true}
	v.records[self.Node] = &record{member: self}
	return v
}

// setSelf replaces what this node says about itself.
func (v *view) setSelf(m Member) {
	v.self = m
	v.records[m.Node].member = m
	v.changed = true
}

// set changes a status and remembers when.
func (v *view) set(r *record, s Status, now time.Time) {
	if r.member.Status == s {
		return
	}
	r.member.Status, r.member.Since = s, now
	r.doubt = r.doubt && s == Suspect
	v.changed = true
}

// home gives the record of a run of the own region; nil when it is unknown, this node, of another region, or
// when the evidence is about an earlier or later run than the one on record.
func (v *view) home(r skein.Runner) *record {
	rec := v.records[r.Node]
	if rec == nil || r.Node == v.self.Node || rec.member.Region != v.self.Region || rec.member.Incarnation != r.Incarnation {
		return nil
	}
	return rec
}

// gossiped takes a member of the own region as gossip describes it. A new run is only a claim until it has shown its
// certificate (reached); what a run has shown once, its gossip cannot move elsewhere. revived says that gossip held
// it dead, or did not know it: its own word is newer than the death.
func (v *view) gossiped(m Member, revived bool, now time.Time) {
	if m.Node == v.self.Node || m.Region != v.self.Region {
		return
	}
	rec := v.records[m.Node]
	if rec == nil || rec.member.Region != m.Region && rec.member.Status == 0 {
		if rec == nil && len(v.records) >= maxMembers {
			return
		}
		rec = &record{member: Member{Node: m.Node, Region: m.Region}}
		v.records[m.Node] = rec
	}
	old := rec.member
	switch {
	case m.Incarnation < old.Incarnation:
		return
	case m.Incarnation > old.Incarnation:
		if rec.claim == nil || rec.claim.Incarnation <= m.Incarnation {
			rec.tried = rec.tried && rec.claim != nil && sameMeta(*rec.claim, m)
			rec.claim = &m
		}
		return
	case !samePlace(m, old):
		return
	}
	if !sameMeta(m, old) {
		m.Status, m.Since, m.Load = old.Status, old.Since, old.Load
		rec.member, v.changed = m, true
	}
	if revived && old.Status != Left {
		v.set(rec, Alive, now)
	}
}

// silent takes gossip's word that a run of the own region is dead.
func (v *view) silent(r skein.Runner, now time.Time) {
	v.disclaim(r)
	if rec := v.home(r); rec != nil && rec.member.Status != Left {
		v.set(rec, Dead, now)
	}
}

// left takes a run's own word that it goes; it also corrects a death that was seen before the word arrived.
func (v *view) left(r skein.Runner, now time.Time) {
	v.disclaim(r)
	if rec := v.home(r); rec != nil {
		v.set(rec, Left, now)
	}
}

// reached takes a finished handshake on a tether with run r, whose certificate names the place on record.
func (v *view) reached(r skein.Runner, now time.Time) {
	rec := v.records[r.Node]
	switch {
	case rec == nil || r.Node == v.self.Node:
		return
	case rec.member.Region != v.self.Region:
		if !v.proved[r.Node] {
			v.proved[r.Node] = true
			v.recount(rec.member.Region, now)
		}
		return
	case rec.claim != nil && rec.claim.Incarnation == r.Incarnation:
		m := *rec.claim
		m.Status, m.Since = Alive, now
		rec.member, rec.claim, rec.doubt, rec.said, v.changed = m, nil, false, nil, true
		return
	}
	switch old := rec.member; {
	case old.Status == 0 || old.Status == Left || r.Incarnation < old.Incarnation:
	case r.Incarnation > old.Incarnation:
		v.set(rec, Dead, now) // the run on record has ended; gossip will describe the new one
	default:
		rec.doubt = false
		v.set(rec, Alive, now)
	}
}

// refused takes a dial that the far host answered with "nobody listens". One such dial is enough where other
// evidence speaks against the run already; a first one only makes it suspect.
func (v *view) refused(r skein.Runner, now time.Time) {
	rec := v.home(r)
	if rec == nil || rec.member.gone() {
		return
	}
	if rec.doubt || rec.member.Status == Suspect {
		v.set(rec, Dead, now)
		return
	}
	v.set(rec, Suspect, now)
}

// doubted notes that something speaks against a run that is still called alive (its tether or QUIC connection
// was lost), and reports whether it should be checked.
func (v *view) doubted(r skein.Runner) bool {
	rec := v.home(r)
	if rec == nil || rec.member.gone() {
		return false
	}
	rec.doubt = true
	return true
}

// unanswered takes a dial that hung or found no way. A first one without other evidence is only remembered.
func (v *view) unanswered(r skein.Runner, now time.Time) {
	rec := v.home(r)
	switch {
	case rec == nil || rec.member.Status != Alive:
	case rec.doubt:
		v.set(rec, Suspect, now)
	default:
		rec.doubt = true
	}
}

// noticed takes another node's notice, and reports whether the run should be checked now.
func (v *view) noticed(n notice, now time.Time) (check bool) {
	rec := v.home(n.about)
	if rec == nil || rec.member.Status == Left {
		return false
	}
	switch n.status {
	case Left:
		if n.observer == n.about.Node {
			v.set(rec, Left, now)
		}
		return false
	case Alive:
		return rec.member.Status != Alive
	}
	if rec.member.Status == Dead {
		return false
	}
	v.set(rec, Suspect, now)
	rec.doubt = true
	return true
}

// unsettled lists the runs of the own region that a check may settle: suspects first, then the dead.
func (v *view) unsettled() []Member {
	var out []Member
	for _, want := range []Status{Suspect, Dead} {
		for _, rec := range v.records {
			if rec.member.Status == want && rec.member.Region == v.self.Region && rec.member.Node != v.self.Node {
				out = append(out, rec.member)
			}
		}
	}
	return out
}

// sweep forgets those who have been gone for long.
func (v *view) sweep(now time.Time) {
	for id, rec := range v.records {
		if id != v.self.Node && rec.claim == nil && rec.member.gone() && now.Sub(rec.member.Since) > keepGone {
			delete(v.records, id)
			delete(v.proved, id)
			v.changed = true
		}
	}
}

// list gives all members sorted by name, and clears the mark of change.
func (v *view) list() []Member {
	v.changed = false
	out := make([]Member, 0, len(v.records))
	for _, rec := range v.records {
		if rec.member.Status != 0 {
			out = append(out, rec.member)
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return out
}
