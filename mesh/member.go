package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// Status is what this node holds of another.
type Status uint8

// The numbers are those of wire.DigestMember and wire.Notice; a higher one is worse.
const (
	Alive   Status = 1
	Suspect Status = 2 // evidence against it that no check has settled
	Dead    Status = 3 // its process has ended, or it has been silent for too long
	Left    Status = 4 // it went in order; final for its incarnation
)

// String gives the status as tables and metrics show it.
func (s Status) String() string {
	switch s {
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return fmt.Sprintf("status_%d", uint8(s))
}

// Member is one node as this node sees it. Members are values; slices in them are never changed in place.
type Member struct {
	Node        skein.NodeID
	Region      skein.Region
	Zone        skein.Zone
	Incarnation skein.Incarnation // rises with every start of the node's process; at least 1

	QUIC  []netip.AddrPort // UDP: clients and nodes
	HTTPS []netip.AddrPort // TCP: clients and tethers
	DNS   netip.AddrPort   // zero: no DNS
	Admin netip.AddrPort   // zero: not reachable from elsewhere

	Draining bool
	Voter    bool
	Status   Status
	Load     float32   // 0 idle to 1 full
	Since    time.Time // when this node learned of Status
}

// Runner names this run of the node.
func (m Member) Runner() skein.Runner { return skein.Runner{Node: m.Node, Incarnation: m.Incarnation} }

// gone reports whether nothing may be expected of this run any more.
func (m Member) gone() bool { return m.Status == Dead || m.Status == Left }

// Bounds on what another node may say about itself.
const (
	maxMeta      = 512 // bytes of encoded wire.NodeMeta; memberlist's limit
	maxAddresses = 8   // of one kind
)

// meta gives the wire form of what gossip tells about m.
func (m Member) meta() *wire.NodeMeta {
	return &wire.NodeMeta{
		Region: string(m.Region), Zone: string(m.Zone), Incarnation: uint64(m.Incarnation),
		Quic: texts(m.QUIC), Https: texts(m.HTTPS), Dns: text(m.DNS), Admin: text(m.Admin),
		Draining: m.Draining, Voter: m.Voter, Protocol: wire.NodeVersion,
	}
}

// encodeMeta gives the bytes of m's gossip metadata, with an error when they are over the limit.
func encodeMeta(m Member) ([]byte, error) {
	buf, err := proto.Marshal(m.meta())
	if err != nil {
		return nil, fmt.Errorf("encode metadata of %s: %w", m.Node, err)
	}
	if len(buf) > maxMeta {
		return nil, skein.Fault(skein.CodeTooLarge, "metadata of node %s has %d bytes, gossip carries %d: use shorter names or fewer addresses", m.Node, len(buf), maxMeta)
	}
	return buf, nil
}

// decodeMeta reads the gossip metadata of node.
func decodeMeta(node string, buf []byte) (Member, error) {
	if len(buf) > maxMeta {
		return Member{}, skein.Fault(skein.CodeTooLarge, "metadata of %d bytes", len(buf))
	}
	var meta wire.NodeMeta
	if err := proto.Unmarshal(buf, &meta); err != nil {
		return Member{}, skein.Fault(skein.CodeMalformed, "metadata is not protobuf")
	}
	return memberOf(node, &meta)
}

// memberOf checks every field of meta.
func memberOf(node string, meta *wire.NodeMeta) (Member, error) {
	if !skein.ValidName(node) || !skein.ValidName(meta.GetRegion()) || !skein.ValidName(meta.GetZone()) {
		return Member{}, skein.Fault(skein.CodeMalformed, "node %.80q, region %.80q, zone %.80q: not all are names", node, meta.GetRegion(), meta.GetZone())
	}
	if meta.GetIncarnation() == 0 {
		return Member{}, skein.Fault(skein.CodeMalformed, "node %s has no incarnation", node)
	}
	m := Member{
		Node: skein.NodeID(node), Region: skein.Region(meta.GetRegion()), Zone: skein.Zone(meta.GetZone()),
		Incarnation: skein.Incarnation(meta.GetIncarnation()), Draining: meta.GetDraining(), Voter: meta.GetVoter(), Status: Alive,
	}
	var err error
	if m.QUIC, err = addresses(meta.GetQuic()); err != nil {
		return Member{}, err
	}
	if m.HTTPS, err = addresses(meta.GetHttps()); err != nil {
		return Member{}, err
	}
	if m.DNS, err = address(meta.GetDns()); err != nil {
		return Member{}, err
	}
	m.Admin, err = address(meta.GetAdmin())
	return m, err
}

// samePlace reports whether two descriptions of one run lead to the same place; that never changes in a run.
func samePlace(a, b Member) bool {
	b.Draining, b.Voter = a.Draining, a.Voter
	return sameMeta(a, b)
}

// sameMeta reports whether two members say the same about themselves; status, load and time are left out.
func sameMeta(a, b Member) bool {
	return a.Region == b.Region && a.Zone == b.Zone && a.Incarnation == b.Incarnation && a.DNS == b.DNS && a.Admin == b.Admin &&
		a.Draining == b.Draining && a.Voter == b.Voter && slices.Equal(a.QUIC, b.QUIC) && slices.Equal(a.HTTPS, b.HTTPS)
}

func text(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func texts(list []netip.AddrPort) []string {
	var out []string
	for _, a := range list {
		out = append(out, text(a))
	}
	return out
}

func address(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, skein.Fault(skein.CodeMalformed, "%.80q is no IP:PORT", s)
	}
	return a, nil
}

func addresses(list []string) ([]netip.AddrPort, error) {
	if len(list) > maxAddresses {
		return nil, skein.Fault(skein.CodeTooLarge, "%d addresses of one kind, at most %d", len(list), maxAddresses)
	}
	var out []netip.AddrPort
	for _, s := range list {
		a, err := address(s)
		if err != nil {
			return nil, err
		}
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out, nil
}
