package mesh

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/telemetry"
)

// TestServicesOfARegion dials, both ways on one connection, services that are for nodes of the own region.
func TestServicesOfARegion(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ca := newTestCA(t)
	meters := &telemetry.Registry{}
	layers := map[skein.NodeID]raft.StreamLayer{}
	services := func(m *Mesh) {
		hello := func(_ context.Context, _ skein.NodeID, conn net.Conn) { io.WriteString(conn, "hello") }
		m.Handle("open", hello)
		m.HandleRegion("regional", hello)
		layers[m.config.Self.Node] = m.RaftLayer("raft")
	}
	a := startNode(t, ca, spec{node: "eu-a", region: "eu", meters: meters, handle: services})
	l := layers["eu-a"]
	start(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { l.Close() })()
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil
			}
			io.WriteString(conn, "hello")
			conn.Close()
		}
	})
	b := startNode(t, ca, spec{node: "eu-b", region: "eu", seed: a, handle: services})
	c := startNode(t, ca, spec{node: "us-a", region: "us", abroad: a, handle: services})
	a.sees(t, "eu-b", Alive)
	b.sees(t, "eu-a", Alive)
	a.sees(t, "us-a", Alive)
	c.sees(t, "eu-a", Alive)
	for _, tt := range []struct {
		from    *testNode
		to      skein.NodeID
		service string
		want    string // empty: refused
	}{
		{b, "eu-a", "regional", "hello"}, {b, "eu-a", "raft", "hello"}, {a, "eu-a", "regional", "hello"},
		{c, "eu-a", "open", "hello"}, {c, "eu-a", "regional", ""}, {c, "eu-a", "raft", ""}, {a, "us-a", "regional", ""},
	} {
		conn, err := tt.from.Dial(ctx, tt.to, tt.service)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, err := io.ReadAll(conn)
		conn.Close()
		if string(got) != tt.want || (err != nil) != (tt.want == "") || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s to %s: got %q, %v, want %q", tt.from.config.Self.Node, tt.service, got, err, tt.want)
		}
	}
	if got := a.counts.badService.Value(); got != 2 {
		t.Errorf("%v streams of another region were counted, want 2", got)
	}
}
