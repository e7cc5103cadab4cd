package replication

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skein-mesh/skein"
)

func removeFile(t *testing.T, dir string, node skein.NodeID, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, string(node), name)); err != nil {
		t.Fatal(err)
	}
}

func TestBootRule(t *testing.T) {
	tests := []struct {
		name string
		disk onDisk
		want start
	}{
		{"fresh", onDisk{}, goOn},
		{"log only", onDisk{first: 1, last: 9}, goOn},
		{"state behind the log", onDisk{state: 5, first: 1, last: 9}, goOn},
		{"state and snapshot", onDisk{state: 120, snapshot: 100, first: 90, last: 130}, goOn},
		{"state at the snapshot, log cut to it", onDisk{state: 100, snapshot: 100, first: 101, last: 130}, goOn},
		{"snapshot received, crash before the restore", onDisk{state: 50, snapshot: 100, first: 1, last: 60}, restore},
		{"state lost, snapshot that had none of its own", onDisk{state: 0, snapshot: 100, spent: true, first: 90, last: 130}, quarantine},
		{"state at a snapshot that has none of its own", onDisk{state: 100, snapshot: 100, spent: true, first: 90, last: 130}, goOn},
		{"state lost, snapshot there", onDisk{state: 0, snapshot: 100, first: 90, last: 130}, restore},
		{"restored state ahead of a log that is yet to come", onDisk{state: 105, base: 105, snapshot: 100, first: 1, last: 60}, goOn},
		{"snapshot received, no log", onDisk{state: 100, base: 100, snapshot: 100}, goOn},
		{"snapshots lost, log cut", onDisk{state: 120, first: 90, last: 130}, quarantine},
		{"hole between snapshot and log", onDisk{state: 120, snapshot: 80, first: 90, last: 130}, quarantine},
		{"log lost", onDisk{state: 120}, quarantine},
		{"log lost, snapshot there", onDisk{state: 120, snapshot: 100}, quarantine},
		{"end of the log lost", onDisk{state: 120, snapshot: 100, first: 90, last: 110}, quarantine},
	}
	for _, tt := range tests {
		if got, why := bootRule(tt.disk); got != tt.want {
			t.Errorf("%s: bootRule(%+v): got %d (%s), want %d", tt.name, tt.disk, got, why, tt.want)
		}
	}
}

// TestSetAsideInOrder: a crash must not find what was moved in neither directory.
func TestSetAsideInOrder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, logDir), 0o700); err != nil {
		t.Fatal(err)
	}
	var synced []string
	to, err := setAside(dir, func(d string) error {
		synced = append(synced, d)
		return nil
	})
	if err != nil || !slices.Equal(synced, []string{to, dir}) {
		t.Errorf("set aside: got %v, synced %q, want %q", err, synced, []string{to, dir})
	}
	if _, err := os.Stat(filepath.Join(to, logDir)); err != nil {
		t.Errorf("the log: %v", err)
	}
}

func TestNewestQuarantinesAreKept(t *testing.T) {
	f := newFabric()
	dir := t.TempDir()
	for _, name := range []string{"20260101T000000.000000000", "20260102T000000.000000000", "20260103T000000.000000000"} {
		if err := os.MkdirAll(filepath.Join(dir, quarantineAs+name, logDir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeNote(dir, rebuildFile); err != nil {
		t.Fatal(err)
	}
	g, err := Open(Config{Node: "a1", Dir: dir, Layer: f.up("a1", "a"), Peers: peers{f, "a1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // nothing runs
	left, err := filepath.Glob(filepath.Join(dir, quarantineAs+"*", logDir))
	if err != nil || len(left) != 2 || filepath.Base(filepath.Dir(left[0])) != quarantineAs+"20260103T000000.000000000" {
		t.Errorf("state set aside: got %q, %v, want the newest of the old ones and the present one", left, err)
	}
}

// Old state goes, but how often it was set aside is still known.
func TestRebuildsAreCounted(t *testing.T) {
	dir := t.TempDir()
	for i := range maxQuarantines + 1 {
		if err := writeNote(dir, rebuildFile); err != nil {
			t.Fatal(err)
		}
		must, err := mustRebuild(dir)
		if refused := err != nil; refused != (i == maxQuarantines) || must == refused {
			t.Fatalf("rebuild %d: got %v, %v", i, must, err)
		}
		if i == maxQuarantines {
			return
		}
		if _, err := setAside(dir, syncDir); err != nil {
			t.Fatal(err)
		}
		for _, old := range oldQuarantines(dir) {
			if _, err := emptyDir(old); err != nil {
				t.Fatal(err)
			}
		}
	}
}
