package replication

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestSnapshotIsSealedWithTheKey(t *testing.T) {
	key, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	s := memoryStore(t)
	s.key = key
	machineOn(t, s).ApplyBatch([]*raft.Log{entryOf(t, 1, openCmd(1))})
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := s.writeSnapshot(&buf); err != nil {
		t.Fatal(err)
	}
	good := buf.Bytes()
	// Whoever changes a snapshot can compute a sum, but not one under the key.
	forged := bytes.Clone(good[:len(good)-sha256.Size])
	forged[len(forged)-1] ^= 1
	sum := sha256.Sum256(forged)
	forged = append(forged, sum[:]...)
	newer := bytes.Clone(good)
	newer[len(snapshotMagic)-1] = '9'
	for _, tt := range []struct {
		name    string
		key     []byte
		in      []byte
		want    error
		mention string
	}{
		{"good", key, good, nil, ""},
		{"another key", other, good, errCorrupt, "secret of another mesh"},
		{"no key", nil, good, errCorrupt, "secret of another mesh"},
		{"forged", key, forged, errCorrupt, "changed"},
		{"a newer version", key, newer, nil, `version "9"`},
	} {
		err := readSnapshot(tt.key, bytes.NewReader(tt.in), io.Discard)
		if tt.want == nil && tt.mention == "" {
			if err != nil {
				t.Errorf("%s: got %v", tt.name, err)
			}
			continue
		}
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !contains(err.Error(), tt.mention) {
			t.Errorf("%s: got %v, want %v that mentions %q", tt.name, err, tt.want, tt.mention)
		}
		if tt.want == nil && errors.Is(err, errCorrupt) {
			t.Errorf("%s: got %v, which calls it damaged", tt.name, err)
		}
	}
}

// TestSnapshotOfAnotherMeshIsRefused: a replica with another key takes no snapshot, keeps what it has and goes on.
func TestSnapshotOfAnotherMeshIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.tune = func(cfg *Config) {
			cfg.SnapshotEntries, cfg.TrailingEntries = 20, 5
			cfg.SnapshotKey = bytes.Repeat([]byte{1}, 32)
			if cfg.Node == "d1" {
				cfg.SnapshotKey = bytes.Repeat([]byte{2}, 32)
			}
		}
		c.start("a1", "b1", "c1")
		lead := c.leader()
		for i := range 60 {
			c.propose(lead, openCmd(i))
		}
		c.until("a log that was cut", 2*time.Minute, func() bool {
			first, err := lead.disk.logs.FirstIndex()
			return err == nil && first > 20
		})
		c.start("d1", "a2")
		c.until("a spare that has everything", 30*time.Second, func() bool { return c.nodes["a2"].Status().Sessions == 60 })
		time.Sleep(10 * time.Second)
		if got := c.nodes["d1"].Status(); got.Sessions != 0 || got.Applied != 0 {
			t.Errorf("a replica with another key: got %d sessions at index %d, want none", got.Sessions, got.Applied)
		}
	})
}
