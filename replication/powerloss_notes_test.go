package replication

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skein-mesh/skein/e2e/powerfs"
)

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

// allChores are the chores, and the receipt of a state.
func allChores(t *testing.T) []chore {
	k := newKeptStore(t)
	k.must(openCmd(0), sayCmd(0, 1, 1))
	k.flushed()
	var sent bytes.Buffer
	if err := k.writeSnapshot(&sent); err != nil {
		t.Fatal(err)
	}
	return append(slices.Clone(chores), chore{
		name: "receipt", do: func(dir string) error {
			_, err := incoming{dir: dir, key: k.key}.spool(bytes.NewReader(sent.Bytes()))
			return err
		},
		check: func(dir string, done bool) error {
			found, err := filepath.Glob(filepath.Join(dir, incomingAs+"*"))
			if done && len(found) != 1 {
				return fmt.Errorf("what was received is gone, %d files are there", len(found))
			}
			return err
		},
	})
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
	for _, c := range allChores(t) {
		if err := c.run(disk); err != nil {
			t.Error(err)
		}
	}
}
