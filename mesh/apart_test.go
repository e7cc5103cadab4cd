package mesh

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// TestStreamApart: a stream with a connection of its own leaves that of the pair alone, also when it ends.
func TestStreamApart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ca := newTestCA(t)
	a := startNode(t, ca, spec{node: "eu-a", region: "eu"})
	var accept func() (net.Conn, error)
	b := startNode(t, ca, spec{node: "eu-b", region: "eu", seed: a, handle: func(m *Mesh) { accept = m.RaftLayer("raft").Accept }})
	a.sees(t, "eu-b", Alive)
	layer := &raftLayer{mesh: a.Mesh, service: "raft"}
	pair, err := layer.Dial("eu-b", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer pair.Close()
	farPair, err := accept()
	if err != nil {
		t.Fatal(err)
	}
	defer farPair.Close()
	before := len(a.links.open())
	near, err := layer.DialApart("eu-b", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(a.links.open()); got != before+1 {
		t.Errorf("connections: got %d, want %d", got, before+1)
	}
	far, err := accept()
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("large "), 200_000)
	written := make(chan error, 1)
	go func() {
		_, err := near.Write(sent)
		written <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what arrived: %v, equal %v", err, bytes.Equal(got, sent))
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	near.Close()
	if _, err := far.Read(got[:1]); err == nil {
		t.Error("the end of the connection is not seen")
	}
	far.Close()
	for len(a.links.open()) != before || len(b.links.open()) != before {
		if !wait(ctx, 10*time.Millisecond) {
			t.Fatalf("connections: %d and %d, want %d", len(a.links.open()), len(b.links.open()), before)
		}
	}
	if _, err := pair.Write([]byte("x")); err != nil {
		t.Errorf("the pair's connection: %v", err)
	}
	farPair.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(farPair, got[:1]); err != nil {
		t.Errorf("the pair's connection: %v", err)
	}
	for _, m := range []*Mesh{a.Mesh, b.Mesh} {
		for _, member := range m.Members() {
			if member.Status != Alive {
				t.Errorf("%s is %s", member.Node, member.Status)
			}
		}
	}
	if _, err := layer.DialApart("eu-x", time.Second); err == nil {
		t.Error("a node that is not there was dialed")
	}
}
