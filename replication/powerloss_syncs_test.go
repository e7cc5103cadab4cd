package replication

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/skein-mesh/skein/e2e/powerfs"
)

var everySync = flag.Bool("power.syncs", false, "show that every sync is needed; takes minutes")

const ofTheLog = "TestEverySyncIsNeeded of package seglog misses it"

// unmissed are syncs that hardly a loss of power misses here, and why they are made all the same.
var unmissed = map[string]string{
	"log: gone N.seg":            ofTheLog + " (compact: directory after a removal)",
	"log: new stable":            ofTheLog + " (open: directory after a new name)",
	"replica: new log":           ofTheLog + " (open: parent directory); the state file's name is synced next and takes it along",
	"replica: gone incoming":     "it is made for another name, which was durable before",
	"snapshots/ID.tmp/state.bin": "the library's; the content is a note of a few bytes about the state file",
	"state.db.new: meta":         "bbolt's second sync of a transaction, which cannot be switched off; the file is empty by then, and filled from the log",
}

// TestEverySyncIsNeeded: without any one kind of sync the power loss tests break a promise.
func TestEverySyncIsNeeded(t *testing.T) {
	if !*everySync {
		t.Skip("takes minutes: run with -args -power.syncs")
	}
	disk := mountPower(t)
	kinds := map[string]bool{}
	for _, c := range allChores(t) {
		if err := c.run(disk); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range ordeals {
		for seed := range uint64(6) {
			if err := x.run(t, disk, seed); err != nil {
				t.Fatalf("%s, seed %d: %v", x.name, seed, err)
			}
		}
	}
	seen, err := disk.Ignore("")
	if err != nil {
		t.Fatal(err)
	}
	for kind := range seen {
		kinds[kind] = true
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) {
			disk := mountPower(t)
			if _, err := disk.Ignore(kind); err != nil {
				t.Fatal(err)
			}
			broken := without(t, disk)
			if _, err := disk.Failed(); err != nil {
				t.Fatalf("the file system is gone: %v", err)
			}
			why, excused := unmissed[kind]
			switch {
			case broken == nil && !excused:
				t.Error("no promise is broken without this sync")
			case broken != nil:
				t.Logf("without it: %.200v", broken)
			default:
				t.Logf("not missed here: %s", why)
			}
		})
	}
}

// without looks for a broken promise, what is quick first.
func without(t *testing.T, disk *powerfs.Mounted) error {
	for _, c := range allChores(t) {
		if err := c.run(disk); err != nil {
			return err
		}
	}
	for seed := range max(12, *lossSeeds) {
		for _, x := range ordeals {
			if err := x.run(t, disk, 1000+seed); err != nil {
				return fmt.Errorf("%s, seed %d: %w", x.name, 1000+seed, err)
			}
		}
	}
	return nil
}
