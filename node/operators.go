package node

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/session"
)

func (n *Node) openAdmin() error {
	var err error
	n.admin, err = admin.New(admin.Config{
		Node: n.cfg.Node, Region: n.cfg.Region, Zone: n.cfg.Zone, Incarnation: n.self.Incarnation, Build: Build(),
		Token: n.secrets.admin, Mesh: adminMesh{n}, Groups: adminGroups{n},
		DeadLetters: deadLetters{n}, Keeping: keeping{n}, Backups: n.backups, Recovery: recovery{n}, Health: health{n}, Metrics: n.metrics(), Log: n.log,
		Refused: func(c skein.Code) {
			n.meters.Counter("skein_admin_refused_total", "Operators' requests that were refused, by code.", label("code", c.String())).Inc()
		},
	})
	return err
}

// Version is set by the linker for a release: -ldflags "-X github.com/skein-mesh/skein/node.Version=1.2.3".
var Version string

// Build says what this binary was built from. Without Version it names what the toolchain noted: a module version or
// "(devel)".
func Build() admin.Build {
	b := admin.Build{Version: Version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value[:min(len(s.Value), 12)]
		}
	}
	return b
}

// adminMesh shows the membership to operators.
type adminMesh struct{ n *Node }

// Members satisfies admin.Mesh.
func (a adminMesh) Members() []admin.Member {
	leads := map[skein.NodeID]int{}
	for _, g := range a.n.region.Groups() {
		if leader, ok := g.Leader(); ok {
			leads[leader]++
		}
	}
	var out []admin.Member
	for _, m := range a.n.mesh.Members() {
		rtt, _ := a.n.mesh.RTT(m.Node)
		am := admin.Member{
			Node: m.Node, Region: m.Region, Zone: m.Zone, Incarnation: m.Incarnation, Status: m.Status.String(),
			Draining: m.Draining, Voter: m.Voter, Leader: leads[m.Node] > 0, Leads: leads[m.Node], Load: m.Load,
			RTT: float64(rtt.Microseconds()) / 1000, Since: m.Since, QUIC: texts(m.QUIC), HTTPS: texts(m.HTTPS),
		}
		if m.DNS.IsValid() {
			am.DNS = m.DNS.String()
		}
		if m.Admin.IsValid() {
			am.Admin = m.Admin.String()
		}
		out = append(out, am)
	}
	return out
}

// Drain satisfies admin.Mesh.
func (a adminMesh) Drain(ctx context.Context, node skein.NodeID, on bool) error {
	return a.n.order(ctx, node, on)
}

func texts(list []netip.AddrPort) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// adminGroups shows the region's groups to operators.
type adminGroups struct{ n *Node }

// Status satisfies admin.Groups.
func (a adminGroups) Status() []admin.GroupStatus {
	var out []admin.GroupStatus
	for i, g := range a.n.region.Groups() {
		out = append(out, a.n.groupStatus(i, g))
	}
	return out
}

func (n *Node) groupStatus(number int, g *replication.Group) admin.GroupStatus {
	st := g.Status()
	index, hash := g.Hash()
	return admin.GroupStatus{
		Group: number, Role: st.Role, Leader: st.Leader, Term: st.Term, Quorum: g.Quorum(), Applied: st.Applied, Durable: st.Durable,
		Commit: st.Commit, HashIndex: index, Hash: hex.EncodeToString(hash[:]), Voters: st.Voters, Spares: st.Spares,
		Sessions: st.Sessions, Closed: st.Closed, Purged: st.Purged, Erased: st.Erased, Calendar: st.Calendar, OpenTurns: st.OpenTurns, DeadLetters: st.DeadLetters, SurvivesZone: st.SurvivesZone && n.oneZoneToSpare(st.Voters),
	}
}

// oneZoneToSpare reports whether the voters that live now stay a majority when any one more zone is lost.
func (n *Node) oneZoneToSpare(voters []skein.NodeID) bool {
	alive, zones := 0, make(map[skein.Zone]int)
	for _, id := range voters {
		if m, ok := n.mesh.Member(id); ok && m.Status == mesh.Alive {
			alive++
			zones[m.Zone]++
		}
	}
	for _, lost := range zones {
		if alive-lost <= len(voters)/2 {
			return false
		}
	}
	return alive > len(voters)/2
}

// spectator reports whether this node keeps no replica of some group, so that it cannot list sessions.
func (n *Node) spectator() bool {
	return slices.ContainsFunc(n.region.Groups(), func(g *replication.Group) bool { return g.Status().Role == "none" })
}

// Sessions satisfies admin.Groups.
func (a adminGroups) Sessions(_ context.Context, after skein.SessionID, limit int) ([]admin.Session, error) {
	if a.n.spectator() {
		return nil, skein.Fault(skein.CodeRefused, "node %s keeps no replica: ask a voter", a.n.cfg.Node)
	}
	states, err := a.n.region.Sessions(after, limit)
	if err != nil {
		return nil, err
	}
	var out []admin.Session
	for _, st := range states {
		s := admin.Session{
			Session: st.ID, Subject: st.Subject, Assistant: st.Assistant, Home: st.Home, Epoch: st.Epoch, Seq: st.Seq, Turns: st.Count, Closed: st.Phase == session.PhaseClosed,
		}
		if k := len(st.Turns); k > 0 {
			s.Node = st.Turns[k-1].Place.Node
		}
		if t, ok := st.OpenTurn(); ok {
			s.OpenTurn = t.ID.String()
		}
		out = append(out, s)
	}
	return out, nil
}

// health answers the probes.
type health struct{ n *Node }

// Live satisfies admin.Health. A fault that only a restart mends ends the process by itself.
func (health) Live() error { return nil }

// Ready satisfies admin.Health.
func (h health) Ready() error {
	switch {
	case h.n.mesh.Self().Draining:
		return errors.New("draining")
	case !h.n.region.Quorum():
		return errors.New("a group of the region has no leader that is heard here")
	}
	return nil
}
