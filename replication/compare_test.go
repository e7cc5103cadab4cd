package replication

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

func TestJudge(t *testing.T) {
	type says map[uint64]byte // index -> the first byte of a hash
	rebuilding := says{0: 1}
	for _, tt := range []struct {
		name    string
		self    skein.NodeID
		voters  string
		reports map[skein.NodeID]says
		want    verdict
	}{
		{"all equal", "a", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 1}}, agrees},
		{"one of three", "c", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 2}}, outcast},
		{"in the majority", "a", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 2}}, agrees},
		{"alone against one", "c", "abc", map[skein.NodeID]says{"b": {9: 1}, "c": {9: 2}}, differs},
		{"nobody answers", "c", "abc", map[skein.NodeID]says{"c": {9: 2}}, agrees},
		{"no index in common", "c", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {8: 2}}, agrees},
		{"behind, and equal there", "c", "abc", map[skein.NodeID]says{"a": {9: 1, 8: 3}, "b": {9: 1, 8: 3}, "c": {8: 3}}, agrees},
		{"behind, and different there", "c", "abc", map[skein.NodeID]says{"a": {9: 1, 8: 3}, "b": {9: 1, 8: 3}, "c": {8: 4}}, outcast},
		{"newest index that a majority knows", "c", "abc", map[skein.NodeID]says{"a": {10: 7, 9: 1}, "b": {9: 1}, "c": {10: 7, 9: 1}}, agrees},
		{"three answers", "c", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 2}, "c": {9: 3}}, differs},
		{"two of five, the first", "d", "abcde", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 1}, "d": {9: 2}, "e": {9: 2}}, outcast},
		{"two of five, the second", "e", "abcde", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 1}, "d": {9: 2}, "e": {9: 2}}, differs},
		{"the first is gone", "e", "abcde", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 1}, "e": {9: 2}}, outcast},
		{"the first is being rebuilt", "e", "abcde", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 1}, "d": rebuilding, "e": {9: 2}}, differs},
		{"a spare", "s", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 1}, "c": {9: 1}, "s": {9: 2}}, outcast},
		{"a spare has no say", "a", "abc", map[skein.NodeID]says{"a": {9: 1}, "b": {9: 2}, "s": {9: 2}}, differs},
	} {
		var voters []skein.NodeID
		for _, v := range tt.voters {
			voters = append(voters, skein.NodeID(v))
		}
		reports := map[skein.NodeID]report{}
		for id, s := range tt.reports {
			r := report{at: map[uint64][32]byte{}}
			for index, b := range s {
				if index == 0 {
					r.rebuilding = true
				} else {
					r.at[index] = [32]byte{b}
				}
			}
			reports[id] = r
		}
		if got := judge(tt.self, voters, reports); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// corrupt changes a session in a replica's memory, as a bad memory cell would.
func corrupt(t *testing.T, m *member, id skein.SessionID) {
	t.Helper()
	s := m.disk.store
	st, err := s.get(id)
	if err != nil || st == nil {
		t.Fatalf("session on %s: got %+v, %v", m.cfg.Node, st, err)
	}
	bad := *st
	bad.Seq += 7
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &change{state: &bad}
	if was := s.dirty[id]; was != nil { // what the file is to get stays in order: it is the memory that is wrong
		c.events = was.events
	}
	s.dirty[id] = c
}

func TestReplicaThatDiffersIsRebuilt(t *testing.T) {
	for _, leads := range []bool{false, true} {
		t.Run(fmt.Sprintf("leader %v", leads), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, "a1", "b1", "c1")
				defer c.stopAll()
				c.start("a1", "b1", "c1")
				lead := c.leader()
				c.propose(lead, openCmd(1), sayCmd(1, 1, 1), openCmd(2))
				c.converged()
				var wrong *member
				for _, m := range c.nodes {
					if (m == lead) == leads {
						wrong = m
					}
				}
				corrupt(t, wrong, sid(1))
				if leads { // its answer is wrong already, that of the others is what counts
					wrong.Propose(t.Context(), sayCmd(1, 2, 3)) //nolint:errcheck // it refuses in vain
				} else {
					c.propose(lead, sayCmd(1, 2, 3))
				}
				node := wrong.cfg.Node
				select {
				case err := <-wrong.done:
					if !errors.Is(err, ErrDiverged) {
						t.Errorf("run: got %v, want %v", err, ErrDiverged)
					}
				case <-time.After(2 * compareEvery):
					t.Fatal("the replica that differs goes on")
				}
				delete(c.nodes, node)
				c.fabric.down(node)
				c.propose(c.leader(), sayCmd(2, 1, 1)) // the others go on
				c.start(node)
				if kept, err := filepath.Glob(filepath.Join(c.dir, string(node), quarantineAs+"*", stateFile)); err != nil || len(kept) != 1 {
					t.Errorf("set aside: got %v, %v, want one state file", kept, err)
				}
				c.until("a fenced replica", time.Second, func() bool { return c.nodes[node].Status().Fenced })
				c.until("the fence to fall", 20*time.Second, func() bool { return !c.nodes[node].Status().Fenced })
				c.converged()
				st, err := c.nodes[node].disk.store.get(sid(1))
				if err != nil || st == nil || st.Count != 2 || st.Seq != 5 {
					t.Errorf("rebuilt session: got %+v, %v, want two turns", st, err)
				}
				time.Sleep(3 * compareEvery)
				if len(c.nodes) != 3 {
					t.Fatalf("nodes: got %d, want 3", len(c.nodes))
				}
				for _, m := range c.nodes {
					if len(m.done) != 0 {
						t.Errorf("%s ended too", m.cfg.Node)
					}
				}
			})
		})
	}
}

func TestRebuildsAreLimited(t *testing.T) {
	dir := t.TempDir()
	if err := writeNote(dir, rebuildFile); err != nil {
		t.Fatal(err)
	}
	if rebuild, err := mustRebuild(dir); !rebuild || err != nil {
		t.Errorf("first: got %v, %v, want true", rebuild, err)
	}
	for i := range maxQuarantines {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%s%d", quarantineAs, i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if rebuild, err := mustRebuild(dir); rebuild || err == nil || !contains(err.Error(), dir) {
		t.Errorf("after %d: got %v, %v, want an error that names %s", maxQuarantines, rebuild, err, dir)
	}
}

func TestCheckpoints(t *testing.T) {
	var c checkpoints
	for i := range uint64(20_000) {
		c.add(i+1, [32]byte{byte(i)})
	}
	r := c.report(false)
	if len(r.at) > 2*keptHashes || len(r.at) < keptHashes {
		t.Errorf("kept: got %d", len(r.at))
	}
	for _, want := range []uint64{20_000, 20_000 - keptHashes + 1, 20_000 / sparseEvery * sparseEvery, (20_000/sparseEvery - 60) * sparseEvery} {
		if _, ok := r.at[want]; !ok {
			t.Errorf("index %d is not kept", want)
		}
	}
	got, err := readReport(bytes.NewReader(r.encode()))
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("report over the wire: got %d hashes, %v", len(got.at), err)
	}
}

func FuzzReadReport(f *testing.F) {
	f.Add(report{rebuilding: true, at: map[uint64][32]byte{7: {1}}}.encode())
	f.Add(report{}.encode())
	f.Add([]byte{0, 0xff, 0xff})
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, buf []byte) {
		if r, err := readReport(bytes.NewReader(buf)); err == nil && len(r.at) > 2*keptHashes {
			t.Errorf("hashes: got %d", len(r.at))
		}
	})
}
