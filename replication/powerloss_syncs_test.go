package replication

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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

// chore is one thing that is done in a directory, step by step, and what must hold wherever the power fails; done: after
// it has ended.
type chore struct {
	name  string
	setup func(dir string) error
	do    func(dir string) error
	check func(dir string, done bool) error
}

func touch(dir string, names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// syncAll makes everything below dir durable.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncDir(path)
	})
}

var statePaths = []string{stateFile, logDir + "/stable", snapshotDir + "/x/meta.json"}

var chores = []chore{
	{
		name: "note", do: func(dir string) error { return writeNote(dir, rebuildFile) },
		check: func(dir string, done bool) error {
			if !exists(filepath.Join(dir, rebuildFile)) && done {
				return fmt.Errorf("the note is gone")
			}
			return nil
		},
	},
	{
		name: "forming", do: func(dir string) error { return writeNote(dir, formingFile) },
		check: func(dir string, done bool) error {
			if !exists(filepath.Join(dir, formingFile)) && done {
				return fmt.Errorf("the note is gone")
			}
			return nil
		},
	},
	{
		name: "epoch", do: func(dir string) error { return writeDurably(filepath.Join(dir, epochFile), encodeEpochs(3, 2)) },
		check: func(dir string, done bool) error {
			if data, err := os.ReadFile(filepath.Join(dir, epochFile)); done && !bytes.Equal(data, encodeEpochs(3, 2)) {
				return fmt.Errorf("the epoch is %q, %w", data, err)
			}
			return nil
		},
	},
	{
		name: "note removed", setup: func(dir string) error { return touch(dir, formingFile) },
		do: func(dir string) error { return removeNote(dir, formingFile) },
		check: func(dir string, done bool) error {
			if exists(filepath.Join(dir, formingFile)) && done {
				return fmt.Errorf("the note is back")
			}
			return nil
		},
	},
	{
		name: "directories", do: func(dir string) error { return MakeDir(filepath.Join(dir, "a", "b")) },
		check: func(dir string, done bool) error {
			if !exists(filepath.Join(dir, "a", "b")) && done {
				return fmt.Errorf("the directory is gone")
			}
			return nil
		},
	},
	{
		name:  "set aside",
		setup: func(dir string) error { return touch(dir, append([]string{rebuildFile}, statePaths...)...) },
		do: func(dir string) error {
			_, err := setAside(dir, syncDir)
			return err
		},
		check: checkAside,
	},
}

// checkAside: nothing that was there is lost, a node that may have forgotten votes knows it, and the order to rebuild is
// either there or carried out.
func checkAside(dir string, done bool) error {
	moved := 0
	for _, name := range statePaths {
		aside, err := filepath.Glob(filepath.Join(dir, quarantineAs+"*", name))
		if err != nil {
			return err
		}
		if len(aside) == 0 && !exists(filepath.Join(dir, name)) {
			return fmt.Errorf("%s is lost", name)
		}
		if !exists(filepath.Join(dir, name)) {
			moved++
		}
	}
	rejoins, rebuild := exists(filepath.Join(dir, rejoinFile)), exists(filepath.Join(dir, rebuildFile))
	switch {
	case moved > 0 && !rejoins:
		return fmt.Errorf("%d parts are moved, and nothing says that votes may be forgotten", moved)
	case moved < len(statePaths) && !rebuild:
		return fmt.Errorf("the order to rebuild is gone, %d parts are moved", moved)
	case done && (rebuild || moved < len(statePaths)):
		return fmt.Errorf("it was done and is not: %d parts are moved, order to rebuild %v", moved, rebuild)
	}
	return nil
}

const choreSeeds = 24 // for each step at which the power fails

// run does the chore with a power failure at each of its steps, and gives the first promise that was broken.
func (c chore) run(disk *powerfs.Mounted) error {
	for steps := range 40 {
		ended := false
		for seed := range uint64(choreSeeds) {
			generation++
			from, to := fmt.Sprintf("g%d", generation*100), fmt.Sprintf("g%d", generation*100+1)
			dir := filepath.Join(disk.Dir, from, "a1")
			if err := c.once(disk, dir, from, to, steps, seed, &ended); err != nil {
				return fmt.Errorf("%s, power lost after step %d, seed %d: %w", c.name, steps, seed, err)
			}
		}
		if ended {
			return nil
		}
	}
	return fmt.Errorf("%s does not end", c.name)
}

func (c chore) once(disk *powerfs.Mounted, dir, from, to string, steps int, seed uint64, ended *bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if c.setup != nil {
		if err := c.setup(dir); err != nil {
			return err
		}
	}
	if err := syncAll(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := disk.Arm(from, steps); err != nil {
		return err
	}
	if err := c.do(dir); err != nil {
		return err
	}
	failed, err := disk.Failed()
	if err != nil {
		return err
	}
	*ended = !failed
	if err := disk.Revive(to, false, seed); err != nil {
		return err
	}
	if err := c.check(filepath.Join(disk.Dir, to, "a1"), !failed); err != nil {
		return err
	}
	for _, name := range []string{from, to} {
		os.RemoveAll(filepath.Join(disk.Dir, name))
	}
	return nil
}

// TestPowerLossOfNotes: what is noted, set aside or made in a replica's directory is there after a loss of power at any step.
func TestPowerLossOfNotes(t *testing.T) {
	disk := mountPower(t)
	for _, c := range chores {
		if err := c.run(disk); err != nil {
			t.Error(err)
		}
	}
}

// TestEverySyncIsNeeded: without any one kind of sync the power loss tests break a promise.
func TestEverySyncIsNeeded(t *testing.T) {
	if !*everySync {
		t.Skip("takes minutes: run with -args -power.syncs")
	}
	disk := mountPower(t)
	kinds := map[string]bool{}
	for _, c := range chores {
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
	for _, c := range chores {
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
