package mesh

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

func sampleDigest(n int) digest {
	d := digest{region: "us", origin: skein.Runner{Node: "u1", Incarnation: 3}, version: 9}
	for i := range n {
		m := testMember(fmt.Sprintf("n%d", i), "us", 2)
		m.Status, m.Load = Status(1+i%4), 0.25
		d.members = append(d.members, m)
	}
	return d
}

func TestDigestRoundTrip(t *testing.T) {
	want := sampleDigest(100)
	var got []Member
	for _, msg := range want.split() {
		if len(msg) > maxDigestBytes+maxMeta {
			t.Errorf("a message has %d bytes", len(msg))
		}
		d, _, err := decodeGossip(msg)
		if err != nil {
			t.Fatal(err)
		}
		if d.region != want.region || d.origin != want.origin || d.version != want.version {
			t.Errorf("head %v %v %d, want %v %v %d", d.region, d.origin, d.version, want.region, want.origin, want.version)
		}
		got = append(got, d.members...)
	}
	if fmt.Sprint(got) != fmt.Sprint(want.members) {
		t.Errorf("members\n%v\nwant\n%v", got, want.members)
	}
	list, err := decodeState(encodeState([]digest{want}))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, d := range list {
		count += len(d.members)
	}
	if count != len(want.members) {
		t.Errorf("state has %d members, want %d", count, len(want.members))
	}
}

func TestNoticeRoundTrip(t *testing.T) {
	want := notice{about: skein.Runner{Node: "b", Incarnation: 4}, status: Dead, observer: "a", evidence: strings.Repeat("é", 300)}
	_, got, err := decodeGossip(want.encode())
	if err != nil {
		t.Fatal(err)
	}
	if got.about != want.about || got.status != want.status || got.observer != want.observer || len(got.evidence) > maxEvidence {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeGossipRefuses(t *testing.T) {
	bad := sampleDigest(1)
	bad.members[0].Region = "eu"
	noStatus := sampleDigest(1)
	noStatus.members[0].Status = 9
	noName := sampleDigest(1)
	noName.members[0].Node = "a b"
	tests := []struct {
		name string
		msg  []byte
		want skein.Code
	}{
		{"empty", nil, skein.CodeMalformed},
		{"noise", []byte{0xff, 0xff, 0xff}, skein.CodeMalformed},
		{"too large", make([]byte, maxMessage+1), skein.CodeTooLarge},
		{"member of another region", bad.encode(), skein.CodeMalformed},
		{"unknown status", noStatus.encode(), skein.CodeMalformed},
		{"bad name", noName.encode(), skein.CodeMalformed},
		{"too many members", sampleDigest(maxDigestMembers + 1).encode(), skein.CodeTooLarge},
		{"notice without incarnation", notice{about: skein.Runner{Node: "b"}, status: Dead, observer: "a"}.encode(), skein.CodeMalformed},
	}
	for _, tt := range tests {
		_, _, err := decodeGossip(tt.msg)
		if got := skein.CodeOf(err); err == nil || got != tt.want {
			t.Errorf("%s: %v, want code %s", tt.name, err, tt.want)
		}
	}
	if _, err := decodeState([]byte{0, 0, 9, 1}); err == nil {
		t.Error("a state that is cut short is accepted")
	}
}

func TestMetadataLimit(t *testing.T) {
	m := testMember("a", "eu", 1)
	buf, err := encodeMeta(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeMeta("a", buf)
	if err != nil || !sameMeta(got, m) {
		t.Errorf("got %+v, %v, want %+v", got, err, m)
	}
	for range 60 {
		m.QUIC = append(m.QUIC, m.QUIC[0])
	}
	if _, err := encodeMeta(m); skein.CodeOf(err) != skein.CodeTooLarge {
		t.Errorf("metadata over the limit: %v, want too_large", err)
	}
}

func FuzzDecodeGossip(f *testing.F) {
	f.Add(sampleDigest(3).encode())
	f.Add(notice{about: skein.Runner{Node: "b", Incarnation: 4}, status: Dead, observer: "a", evidence: "reset"}.encode())
	f.Add([]byte{0x0a, 0x00})
	f.Add([]byte("noise"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		d, n, err := decodeGossip(msg)
		if err != nil {
			return
		}
		if (d == nil) == (n == nil) {
			t.Fatal("neither or both of digest and notice")
		}
		if n != nil {
			if _, again, err := decodeGossip(n.encode()); err != nil || again.about != n.about || again.status != n.status {
				t.Fatalf("notice %+v reads back as %+v, %v", n, again, err)
			}
		}
		for _, m := range d.membersOrNone() {
			if m.Status < Alive || m.Status > Left || m.Load < 0 || m.Load > 1 || m.Region != d.region {
				t.Fatalf("member out of range: %+v", m)
			}
		}
	})
}

func (d *digest) membersOrNone() []Member {
	if d == nil {
		return nil
	}
	return d.members
}

// FuzzMerge feeds words in any order, and checks what must hold of any view.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte("the quick brown fox jumps over the lazy dog"))
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(1000, 0)
		v := newView(testMember("a", "eu", 1), now)
		trust(v, "u1", "u3")
		origins := []string{"u1", "u2", "u3", "b", "x"}
		highest := map[skein.NodeID]skein.Incarnation{}
		left := map[skein.Runner]bool{}
		for ; len(script) >= 4; script = script[4:] {
			m := testMember(fmt.Sprintf("u%d", script[1]%4), []string{"us", "eu"}[script[1]>>7], skein.Incarnation(1+script[2]%3))
			m.Status = Status(1 + script[2]>>6)
			d := digest{region: m.Region, version: uint64(script[3] % 16), members: []Member{m},
				origin: skein.Runner{Node: skein.NodeID(origins[int(script[0])%len(origins)]), Incarnation: skein.Incarnation(1 + script[3]>>7)}}
			switch script[0] % 7 {
			case 5:
				v.gossiped(testMember("b", "eu", m.Incarnation), script[3]&1 == 0, now)
				if script[3]&2 == 0 {
					v.reached(skein.Runner{Node: "b", Incarnation: m.Incarnation}, now)
				}
			case 6:
				v.witnessed(m, stamp{1, uint64(script[3])}, now)
			default:
				v.merge(d, now)
				if v.merge(d, now) {
					t.Fatal("the same digest is news twice")
				}
			}
			for _, got := range v.list() {
				if got.Status < Alive || got.Status > Left || got.Incarnation < highest[got.Node] || left[got.Runner()] && got.Status != Left {
					t.Fatalf("member %+v after incarnation %d, left %v", got, highest[got.Node], left[got.Runner()])
				}
				highest[got.Node] = got.Incarnation
				if got.Status == Left {
					left[got.Runner()] = true
				}
			}
		}
		if self := v.records["a"].member; self.Status != Alive {
			t.Fatalf("self is %s", self.Status)
		}
	})
}
