package replication

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// copied gives the bytes of a replica's copy.
func copied(t *testing.T, g *Group, after uint64) (Copy, []byte) {
	t.Helper()
	cp, err := g.Copy(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(cp)
	if err = errors.Join(err, cp.Close()); err != nil || int64(len(data)) != cp.Size {
		t.Fatalf("%d bytes of %d, %v", len(data), cp.Size, err)
	}
	return *cp, data
}

// A copy of a follower holds all that was acknowledged, and a region that is planted from it goes on from there.
func TestCopyAndPlant(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		for i := range 30 {
			c.propose(lead, openCmd(i))
			c.propose(lead, sayCmd(i, 1, 1))
		}
		c.propose(lead, askCmd(3, 2))
		c.propose(lead, session.Command{Session: sid(5), Body: session.Erase{}})
		index, err := lead.Reached(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		follower := c.nodes["b1"]
		if lead.cfg.Node == "b1" {
			follower = c.nodes["c1"]
		}
		if _, err := follower.Reached(t.Context()); !errors.Is(err, skein.ErrNoQuorum) {
			t.Errorf("a follower tells what was reached: %v", err)
		}
		if _, err := follower.Copy(within(t, time.Second), index+1000); skein.CodeOf(err) != skein.CodeRefused {
			t.Errorf("an index that is far away: %v", err)
		}
		cp, data := copied(t, follower.Group, index)
		if cp.Index < index || cp.Sessions != 29 || cp.Epoch != firstEpoch {
			t.Errorf("the copy stands at %+v, want at least %d", cp.Standing, index)
		}
		c.propose(lead, openCmd(99)) // after the copy
		for _, id := range []skein.NodeID{"a1", "b1", "c1"} {
			c.kill(id)
		}

		c.dir = t.TempDir()
		seed := Seed{Recovery: Recovery{Node: "a2", Epoch: NextEpoch(cp.Epoch, time.Now())}, Standing: cp.Standing, Groups: 1}
		if err := Plant(filepath.Join(c.dir, "a2"), bytes.NewReader(data), seed); err != nil {
			t.Fatal(err)
		}
		c.voters = []skein.NodeID{"a2", "b2", "c2"}
		c.start("a2")
		first := c.leader()
		if _, hash := first.Hash(); hash != cp.Hash {
			t.Error("it has another hash")
		}
		c.start("b2", "c2")
		c.until("three voters", time.Minute, func() bool { return len(first.Status().Voters) == 3 })
		c.converged()
		if r, err := c.nodes["b2"].Replica(); err != nil || r.Epoch != seed.Epoch || r.Sessions != 29 {
			t.Errorf("b2 stands at %+v, %v", r, err)
		}
		if again := c.propose(first, sayCmd(7, 1, 1))[0]; !again.Duplicate {
			t.Error("a turn of before runs again")
		}
		if events, err := first.History(t.Context(), sid(7), 0, 10); err != nil || len(events) != 3 {
			t.Errorf("history has %d events, %v", len(events), err)
		}
		if open := first.OpenTurns(); len(open) != 1 || open[0].Session != sid(3) {
			t.Errorf("open turns: %v", open)
		}
		if _, err := c.nodes["b2"].Propose(t.Context(), openCmd(5)); err != nil {
			t.Error(err)
		}
		if st, err := first.Read(t.Context(), sid(5), 0); err != nil || st.Phase != session.PhaseErased {
			t.Errorf("an erased session: %+v, %v", st, err)
		}
		if _, err := first.Read(t.Context(), sid(99), 0); !errors.Is(err, skein.ErrUnknownSession) {
			t.Errorf("what came after the copy: %v", err)
		}
		c.propose(first, sayCmd(7, 2, 3))
	})
}

// What is not whole is refused, and nothing of it stays.
func TestPlantRefuses(t *testing.T) {
	var cp Copy
	var data []byte
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1")
		defer c.stopAll()
		c.start("a1")
		lead := c.leader()
		for i := range 10 {
			c.propose(lead, openCmd(i))
			c.propose(lead, sayCmd(i, 1, 1))
		}
		cp, data = copied(t, lead.Group, 0)
	})
	edit := func(f func(*bolt.Tx) error) []byte {
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := openDB(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(f), db.Close()); err != nil {
			t.Fatal(err)
		}
		changed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	tests := []struct {
		name string
		data []byte
		want func(*Standing)
		says string
	}{
		{"cut", data[:len(data)-4096], nil, "bytes came"},
		{"longer", append(bytes.Clone(data), 0), nil, "bytes came"},
		{"not a state file", bytes.Repeat([]byte("x"), len(data)), nil, "invalid database"},
		{"another hash", data, func(s *Standing) { s.Hash[0]++ }, "it stands at"},
		{"another index", data, func(s *Standing) { s.Index++ }, "it stands at"},
		{"another count", data, func(s *Standing) { s.Sessions++ }, "it stands at"},
		{"a newer format", edit(func(tx *bolt.Tx) error {
			return tx.Bucket(metaBucket).Put(formatKey, seal(formatKey, []byte{0, 0, 0, 99}))
		}), nil, "format 99"},
		{"a flipped bit in an event", edit(func(tx *bolt.Tx) error {
			k, v := tx.Bucket(eventsBucket).Cursor().First()
			v = bytes.Clone(v)
			v[len(v)-1] ^= 1
			return tx.Bucket(eventsBucket).Put(k, v)
		}), nil, "checksum"},
		{"a session too few", edit(func(tx *bolt.Tx) error { return tx.Bucket(sessionsBucket).Delete([]byte(sid(4))) }), nil, "has 9 sessions and says 10"},
		{"an event that is gone", edit(func(tx *bolt.Tx) error {
			k, _ := tx.Bucket(eventsBucket).Cursor().Last()
			return tx.Bucket(eventsBucket).Delete(k)
		}), nil, "no event at position"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := cp.Standing
			if !strings.Contains(tt.says, "bytes came") {
				at.Size = int64(len(tt.data))
			}
			if tt.want != nil {
				tt.want(&at)
			}
			region := filepath.Join(t.TempDir(), "replica")
			err := Plant(region, bytes.NewReader(tt.data), Seed{Recovery: Recovery{Node: "a2", Epoch: 9}, Standing: at, Groups: 1})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if _, err := os.Stat(region); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the directory stays: %v", err)
			}
		})
	}
	region := filepath.Join(t.TempDir(), "replica")
	seed := Seed{Recovery: Recovery{Node: "a2", Epoch: 9}, Standing: cp.Standing, Groups: 1}
	if err := Plant(region, bytes.NewReader(data), seed); err != nil {
		t.Fatal(err)
	}
	if err := Plant(region, bytes.NewReader(data), seed); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second time: %v", err)
	}
	if found, err := Inspect(region, 0); err != nil || found.Epoch != 9 || found.Sessions != 10 || len(found.Voters) != 1 {
		t.Errorf("the first one stands at %+v, %v", found, err)
	}
}

// A copy that the disk has no room for is refused before anything is written.
func TestCopyWithoutRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1")
		defer c.stopAll()
		c.tune = func(cfg *Config) {
			cfg.Space = func() (free, total uint64, err error) { return 1 << 20, 1 << 30, nil }
		}
		c.start("a1")
		lead := c.leader()
		c.until("the disk is measured", 5*time.Second, func() bool { return lead.Status().DiskTotal > 0 })
		if _, err := lead.Copy(t.Context(), 0); skein.CodeOf(err) != skein.CodeStorageFull {
			t.Errorf("got %v, want it refused", err)
		}
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
