package mesh

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
	"github.com/skein-mesh/skein/wire"
)

func TestViewClaims(t *testing.T) {
	now := time.Unix(1000, 0)
	elsewhere := netip.MustParseAddrPort("192.0.2.66:1")
	b := testMember("b", "eu", 5)
	next := testMember("b", "eu", 6)
	moved := b
	moved.HTTPS = []netip.AddrPort{elsewhere}
	for _, tt := range []struct {
		name  string
		steps func(*view)
		want  string
	}{
		{"a claim", func(v *view) { v.gossiped(b, true, now) }, ""},
		{"a claim repeated", func(v *view) { v.gossiped(b, true, now); v.gossiped(b, true, now) }, ""},
		{"shown", func(v *view) { join(v, b, now) }, "b#5=alive "},
		{"a claim that ended", func(v *view) { v.gossiped(b, true, now); v.silent(b.Runner(), now); v.reached(b.Runner(), now) }, ""},
		{"another run answers", func(v *view) { v.gossiped(b, true, now); v.reached(next.Runner(), now) }, ""},
		{"a new run that is only claimed", func(v *view) { join(v, b, now); v.gossiped(next, true, now) }, "b#5=alive "},
		{"a new run that is shown", func(v *view) { join(v, b, now); join(v, next, now) }, "b#6=alive "},
		{"gossip moves nobody", func(v *view) { join(v, b, now); v.gossiped(moved, true, now) }, "b#5=alive "},
		{"refusals say nothing of a claim", func(v *view) {
			v.gossiped(b, true, now)
			v.refused(b.Runner(), now)
			v.refused(b.Runner(), now)
		}, ""},
		{"a name of another region, said by nobody who counts", func(v *view) { say(v, "x", "b", Alive, 1, now); join(v, b, now) }, "b#5=alive "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newView(testMember("a", "eu", 1), now)
			tt.steps(v)
			if got := describe(v.list()); got != "a#1=alive "+tt.want {
				t.Errorf("got %s, want a and %s", got, tt.want)
			}
			for _, m := range v.list() {
				if len(m.HTTPS) > 0 && m.HTTPS[0] == elsewhere {
					t.Errorf("%s was moved by gossip", m.Node)
				}
			}
			for _, m := range v.ownWords() {
				if m.Status == 0 || m.Node == "b" && tt.want == "" {
					t.Errorf("%s is told to others", m.Node)
				}
			}
		})
	}
}

func TestViewForeignClaims(t *testing.T) {
	now := time.Unix(1000, 0)
	v := newView(testMember("a", "eu", 1), now)
	say(v, "u1", "u1", Alive, 1, now)
	say(v, "u1", "w", Alive, 1, now)
	say(v, "x", "x", Alive, 1, now)
	say(v, "x", "u1", Dead, 2, now)
	v.witnessed(testMember("x", "us", 1), stamp{1, 1}, now)
	if got := describe(v.list()); got != "a#1=alive " {
		t.Errorf("before any certificate: %s", got)
	}
	if got := describe(v.claims(true)); got != "u1#1=alive x#1=alive " {
		t.Errorf("certificates are asked of %s, want u1 and x", got)
	}
	if got := v.claims(true); len(got) != 0 {
		t.Errorf("asked twice: %s", describe(got))
	}
	v.reached(skein.Runner{Node: "u1", Incarnation: 1}, now)
	if got := describe(v.list()); got != "a#1=alive u1#1=alive w#1=alive " {
		t.Errorf("with u1's certificate: %s", got)
	}
}

// TestForeignCAIsNoMember: the secret lets a node gossip, and nothing more.
func TestForeignCAIsNoMember(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	meters := telemetry.New()
	us := startNode(t, ca, spec{node: "us-a", region: "us"})
	a := startNode(t, ca, spec{node: "eu-a", region: "eu", abroad: us, meters: meters})
	b := startNode(t, ca, spec{node: "eu-b", region: "eu", seed: a, abroad: us})
	a.sees(t, "eu-b", Alive)
	us.sees(t, "eu-b", Alive)
	evil := startNode(t, other, spec{node: "eu-x", region: "eu", seed: a, abroad: us})
	for _, n := range []*testNode{a, b, us} {
		waitFor(t, "the stranger's claim is heard", func() bool {
			for _, m := range n.claims() {
				if m.Node == "eu-x" {
					return true
				}
			}
			return false
		})
	}
	count := func(name, label string) (sum float64) {
		for _, s := range meters.Snapshot() {
			if s.Name == name && (label == "" || len(s.Labels) > 0 && s.Labels[0].Value == label) {
				sum += s.Value
			}
		}
		return sum
	}
	const refused = "skein_mesh_refused_handshakes_total"
	waitFor(t, "the stranger is asked for its certificate", func() bool { return count(refused, "dialed") > 0 })
	waitFor(t, "the stranger's own tether is refused", func() bool { return count(refused, "tether") > 0 })
	if got := count("skein_mesh_unproved", ""); got != 1 {
		t.Errorf("unproved %v, want 1", got)
	}
	for _, n := range []*testNode{a, b, us} {
		if m, ok := n.Member("eu-x"); ok {
			t.Errorf("%s lists the stranger as %s", n.Self().Node, m.Status)
		}
	}
	if got := describe(evil.Members()); got != "eu-x#1=alive " {
		t.Errorf("the stranger sees %s", got)
	}
	conf := evil.config.Identity.client(wire.ALPNMesh, "eu-a")
	conf.InsecureSkipVerify, conf.VerifyConnection = true, nil
	if conn, err := quic.DialAddr(t.Context(), a.sock.udp.String(), conf, nil); err == nil {
		conn.AcceptStream(t.Context()) // ends with the refusal
		conn.CloseWithError(0, "")
	}
	waitFor(t, "its QUIC handshake is counted", func() bool { return count(refused, "quic") > 0 })
	a.sees(t, "eu-b", Alive)
}

func TestMalformedGossipIsCounted(t *testing.T) {
	meters := telemetry.New()
	a := startNode(t, newTestCA(t), spec{node: "eu-a", region: "eu", meters: meters})
	waitFor(t, "the pool is open", func() bool { return a.region.Load() != nil })
	p := a.region.Load()
	p.NotifyMsg([]byte("garbage"))
	p.MergeRemoteState([]byte("garbage"), true)
	bad := p.list.LocalNode()
	stranger := *bad
	stranger.Name, stranger.Meta = "eu-z", []byte("garbage")
	if p.NotifyAlive(&stranger) == nil {
		t.Error("garbage for metadata is let in")
	}
	tether := func() {
		conn := tetherTo(t, a)
		conn.Write(bytes.Repeat([]byte{0}, greetingSize))
		io.Copy(io.Discard, conn)
		conn.Close()
	}
	tether()
	got := map[string]float64{}
	for _, s := range meters.Snapshot() {
		if s.Name == "skein_mesh_malformed_total" {
			got[s.Labels[0].Value] = s.Value
		}
	}
	for _, kind := range []string{"message", "state", "meta", "greeting"} {
		if got[kind] != 1 {
			t.Errorf("%s: counted %v, want 1", kind, got[kind])
		}
	}
}

// tetherTo opens a tether as a node of the same mesh does, without its greeting.
func tetherTo(t *testing.T, n *testNode) *tls.Conn {
	t.Helper()
	raw, err := Host{}.Dial(t.Context(), n.sock.tcp)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, n.config.Identity.client(wire.ALPNTether, n.Self().Node))
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn
}

func FuzzDecodeMeta(f *testing.F) {
	good, err := encodeMeta(testMember("b", "eu", 5))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("b", good)
	f.Add("", good)
	f.Add("b", []byte{})
	f.Add("b", good[:len(good)-1])
	f.Fuzz(func(t *testing.T, node string, buf []byte) {
		m, err := decodeMeta(node, buf)
		if err != nil {
			if skein.CodeOf(err) == skein.CodeInternal {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		again, err := encodeMeta(m)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := decodeMeta(node, again); err != nil || !sameMeta(m, twice) {
			t.Fatalf("%+v becomes %+v, %v", m, twice, err)
		}
	})
}

func FuzzDecodeCoordinate(f *testing.F) {
	f.Add(make([]byte, coordinateSize))
	f.Add(bytes.Repeat([]byte{0xff}, coordinateSize))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, buf []byte) {
		c, err := decodeCoordinate(buf)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeCoordinate(c), buf) || !c.IsValid() {
			t.Fatalf("%x becomes %+v", buf, c)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add(encodeState([]digest{sampleDigest(3), sampleDigest(100)}))
	f.Add([]byte{0, 0, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, buf []byte) {
		list, _ := decodeState(buf)
		again, err := decodeState(encodeState(list))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		count := func(list []digest) (n int) {
			for _, d := range list {
				n += len(d.members)
			}
			return n
		}
		if count(again) != count(list) {
			t.Fatalf("%d members become %d", count(list), count(again))
		}
	})
}

func FuzzReadGreeting(f *testing.F) {
	f.Add(greeting(kindTether, 1))
	f.Add(greeting(kindProbe, 1<<63))
	f.Add(make([]byte, greetingSize))
	f.Add([]byte{wire.NodeVersion})
	f.Fuzz(func(t *testing.T, buf []byte) {
		kind, inc, err := readGreeting(bytes.NewReader(buf))
		if err == nil && !bytes.Equal(greeting(kind, inc), buf[:greetingSize]) {
			t.Fatalf("%x read as %q, %d", buf, kind, inc)
		}
	})
}

func FuzzReadService(f *testing.F) {
	f.Add([]byte("\x04raft"))
	f.Add([]byte{0})
	f.Add([]byte{33, 'x'})
	f.Fuzz(func(t *testing.T, buf []byte) {
		if name, err := readService(bytes.NewReader(buf)); err == nil && (name == "" || len(name) > maxService) {
			t.Fatalf("service %q", name)
		}
	})
}
