package mesh

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// digest is what one node (origin) says about members of one region. Absent members are not spoken about, so a
// digest may be split, and may carry changes only.
type digest struct {
	region  skein.Region
	origin  skein.Runner
	version uint64 // rises with every change that this run of the origin tells
	members []Member
}

// notice is evidence about one run of a node.
type notice struct {
	about    skein.Runner
	status   Status
	observer skein.NodeID
	evidence string
}

// Bounds of gossip messages.
const (
	maxDigestMembers = 64       // of one message
	maxDigestBytes   = 900      // aimed at, so that a message fits one gossip packet
	maxMessage       = 64 << 10 // bytes of one message that is read at all
	maxState         = 4 << 20  // bytes of a full state
	maxEvidence      = 120      // bytes of the words in a notice
)

// split cuts d into messages that fit a gossip packet each.
func (d digest) split() [][]byte {
	var out [][]byte
	part := d
	part.members = nil
	size := 0
	for i, m := range d.members {
		n := proto.Size(digestMember(m)) + 4
		if len(part.members) > 0 && (size+n > maxDigestBytes || len(part.members) == maxDigestMembers) {
			out = append(out, part.encode())
			part.members, size = nil, 0
		}
		part.members = append(part.members, d.members[i])
		size += n
	}
	if len(part.members) > 0 {
		out = append(out, part.encode())
	}
	return out
}

func (d digest) encode() []byte {
	w := &wire.Digest{Region: string(d.region), Origin: string(d.origin.Node), OriginIncarnation: uint64(d.origin.Incarnation), Version: d.version}
	for _, m := range d.members {
		w.Members = append(w.Members, digestMember(m))
	}
	return encodeGossip(&wire.Gossip{Body: &wire.Gossip_Digest{Digest: w}})
}

func digestMember(m Member) *wire.DigestMember {
	return &wire.DigestMember{Node: string(m.Node), Meta: m.meta(), Status: uint32(m.Status), Load: m.Load}
}

func (n notice) encode() []byte {
	evidence := n.evidence
	if len(evidence) > maxEvidence {
		evidence = evidence[:maxEvidence]
	}
	return encodeGossip(&wire.Gossip{Body: &wire.Gossip_Notice{Notice: &wire.Notice{
		Node: string(n.about.Node), Incarnation: uint64(n.about.Incarnation), Status: uint32(n.status),
		Observer: string(n.observer), Evidence: string(bytes.ToValidUTF8([]byte(evidence), nil)),
	}}})
}

func encodeGossip(g *wire.Gossip) []byte {
	buf, err := proto.Marshal(g)
	if err != nil {
		panic("mesh: gossip of checked names always encodes: " + err.Error())
	}
	return buf
}

// decodeGossip reads one message; exactly one of the two is set when the error is nil.
func decodeGossip(buf []byte) (*digest, *notice, error) {
	if len(buf) > maxMessage {
		return nil, nil, skein.Fault(skein.CodeTooLarge, "gossip message of %d bytes", len(buf))
	}
	var g wire.Gossip
	if err := proto.Unmarshal(buf, &g); err != nil {
		return nil, nil, skein.Fault(skein.CodeMalformed, "gossip message is not protobuf")
	}
	switch body := g.GetBody().(type) {
	case *wire.Gossip_Digest:
		d, err := decodeDigest(body.Digest)
		return d, nil, err
	case *wire.Gossip_Notice:
		n, err := decodeNotice(body.Notice)
		return nil, n, err
	}
	return nil, nil, skein.Fault(skein.CodeMalformed, "gossip message of a kind that this version does not know")
}

func decodeDigest(w *wire.Digest) (*digest, error) {
	if !skein.ValidName(w.GetRegion()) || !skein.ValidName(w.GetOrigin()) || w.GetOriginIncarnation() == 0 {
		return nil, skein.Fault(skein.CodeMalformed, "digest of region %.80q by %.80q: not both are names", w.GetRegion(), w.GetOrigin())
	}
	if len(w.GetMembers()) > maxDigestMembers {
		return nil, skein.Fault(skein.CodeTooLarge, "digest of %d members, at most %d", len(w.GetMembers()), maxDigestMembers)
	}
	d := &digest{
		region: skein.Region(w.GetRegion()), version: w.GetVersion(),
		origin: skein.Runner{Node: skein.NodeID(w.GetOrigin()), Incarnation: skein.Incarnation(w.GetOriginIncarnation())},
	}
	for _, dm := range w.GetMembers() {
		m, err := memberOf(dm.GetNode(), dm.GetMeta())
		if err != nil {
			return nil, err
		}
		if m.Region != d.region {
			return nil, skein.Fault(skein.CodeMalformed, "digest of region %s has node %s of %s", d.region, m.Node, m.Region)
		}
		if m.Status, err = statusOf(dm.GetStatus()); err != nil {
			return nil, err
		}
		m.Load = clampLoad(dm.GetLoad())
		d.members = append(d.members, m)
	}
	return d, nil
}

func decodeNotice(w *wire.Notice) (*notice, error) {
	if !skein.ValidName(w.GetNode()) || !skein.ValidName(w.GetObserver()) || w.GetIncarnation() == 0 {
		return nil, skein.Fault(skein.CodeMalformed, "notice about %.80q by %.80q: not both are names", w.GetNode(), w.GetObserver())
	}
	status, err := statusOf(w.GetStatus())
	if err != nil {
		return nil, err
	}
	evidence := w.GetEvidence()
	if len(evidence) > maxEvidence {
		evidence = evidence[:maxEvidence]
	}
	return &notice{
		about:  skein.Runner{Node: skein.NodeID(w.GetNode()), Incarnation: skein.Incarnation(w.GetIncarnation())},
		status: status, observer: skein.NodeID(w.GetObserver()), evidence: evidence,
	}, nil
}

func statusOf(n uint32) (Status, error) {
	if n < uint32(Alive) || n > uint32(Left) {
		return 0, skein.Fault(skein.CodeMalformed, "status %d is not known", n)
	}
	return Status(n), nil
}

// clampLoad brings a load into 0..1; what is no number is 0.
func clampLoad(f float32) float32 {
	if math.IsNaN(float64(f)) {
		return 0
	}
	return min(max(f, 0), 1)
}

// encodeState joins digests into the user state of a push/pull.
func encodeState(list []digest) []byte {
	var out []byte
	for _, d := range list {
		for _, msg := range d.split() {
			if len(out)+len(msg) > maxState {
				return out
			}
			out = appendBlock(out, msg)
		}
	}
	return out
}

func appendBlock(out, msg []byte) []byte {
	out = append(out, byte(len(msg)>>16), byte(len(msg)>>8), byte(len(msg)))
	return append(out, msg...)
}

// decodeState reads what encodeState wrote; it stops at the first fault and gives what came before it.
func decodeState(buf []byte) ([]digest, error) {
	if len(buf) > maxState {
		return nil, skein.Fault(skein.CodeTooLarge, "state of %d bytes", len(buf))
	}
	var out []digest
	r := bufio.NewReader(bytes.NewReader(buf))
	for {
		var head [3]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			return out, skein.Fault(skein.CodeMalformed, "state is cut short")
		}
		n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if n > maxMessage {
			return out, skein.Fault(skein.CodeTooLarge, "state has a message of %d bytes", n)
		}
		msg := make([]byte, n)
		if _, err := io.ReadFull(r, msg); err != nil {
			return out, skein.Fault(skein.CodeMalformed, "state is cut short")
		}
		d, _, err := decodeGossip(msg)
		if err != nil {
			return out, err
		}
		if d != nil {
			out = append(out, *d)
		}
	}
}
