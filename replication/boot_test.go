package replication

import (
	"os"
	"path/filepath"
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
