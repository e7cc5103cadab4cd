package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/skein-mesh/skein"
)

// Gossip is open to everybody who has the mesh's secret; a member is only who also has a certificate of its CA. So
// what gossip describes is a claim until this node has finished a handshake of its own with that run at that place.
// Other regions' nodes are too many to ask them all: only those that speak are asked, and who is vouched for by one
// of them counts as they say.

// maxProofs is how many certificates are asked for at once; the other claims wait.
const maxProofs = 32

// proven reports whether a node's word about others counts.
func (v *view) proven(origin skein.NodeID) bool {
	if origin == v.self.Node {
		return true
	}
	if rec := v.records[origin]; rec != nil && rec.member.Region == v.self.Region {
		return rec.member.Status != 0
	}
	return v.proved[origin]
}

// disclaim forgets a claim whose run has ended.
func (v *view) disclaim(r skein.Runner) {
	rec := v.records[r.Node]
	if rec == nil || rec.claim == nil || rec.claim.Incarnation != r.Incarnation {
		return
	}
	if rec.claim = nil; rec.member.Status == 0 {
		delete(v.records, r.Node)
	}
}

// claimed gives what is to be proved of a record.
func (v *view) claimed(id skein.NodeID, rec *record) (Member, bool) {
	switch {
	case id == v.self.Node:
		return Member{}, false
	case rec.member.Region == v.self.Region:
		if rec.claim == nil {
			return Member{}, false
		}
		return *rec.claim, true
	case v.proved[id]:
		return Member{}, false
	}
	st, speaks := rec.said[id]
	if !speaks {
		st, speaks = rec.said[v.self.Node] // a voter that this one sees in the pool across regions
	}
	return st.member, speaks && !st.member.gone()
}

// claims lists whom to ask for a certificate, in the order of names; fresh: those never asked, which are marked.
func (v *view) claims(fresh bool) []Member {
	var out []Member
	for id, rec := range v.records {
		m, ok := v.claimed(id, rec)
		if !ok || fresh && rec.tried {
			continue
		}
		rec.tried = true
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return compareNodes(a.Node, b.Node) })
	return out
}

// candidate gives the run r as it is known or claimed, to dial it.
func (v *view) candidate(r skein.Runner) (Member, bool) {
	rec := v.records[r.Node]
	if rec == nil {
		return Member{}, false
	}
	if m, ok := v.claimed(r.Node, rec); ok && m.Incarnation == r.Incarnation {
		return m, true
	}
	return rec.member, rec.member.Status != 0 && rec.member.Incarnation == r.Incarnation
}

func compareNodes(a, b skein.NodeID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// askNew asks those for their certificate who have just been heard of.
func (m *Mesh) askNew() {
	m.mu.Lock()
	fresh := m.view.claims(true)
	m.mu.Unlock()
	for _, claim := range fresh {
		m.check(claim.Runner(), "new")
	}
}

// claims counts the runs that are waiting to show their certificate.
func (m *Mesh) claims() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.claims(false)
}

// foreign reports whether a handshake failed by a certificate: theirs here, or ours there.
func foreign(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		switch uint8(alert) {
		case alertBadCertificate, alertUnknownCA, alertCertificateRequired:
			return true
		}
	}
	return skein.CodeOf(err) == skein.CodeUnauthenticated
}

// Alerts of RFC 8446, section 6.2.
const (
	alertBadCertificate      = 42
	alertUnknownCA           = 48
	alertCertificateRequired = 116
)
