package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/replication/seglog"
)

const (
	logDir       = "log"
	oldLogFile   = "log.db"    // where builds before the first release kept the log
	snapshotDir  = "snapshots" // the library's name
	rejoinFile   = "rejoin"    // present while this node must not vote, see setAside
	rebuildFile  = "rebuild"   // present when the replica differs from the others and has to be set aside
	quarantineAs = "quarantine-"
	maxKept      = 2 // snapshots, and directories set aside
)

// onDisk is what a directory holds when a group opens.
type onDisk struct {
	state    uint64 // F: index of the state file
	base     uint64 // index at which the state file was installed, 0: it grew here
	snapshot uint64 // S: index of the newest complete snapshot, 0: none
	spent    bool   // that snapshot has no state of its own: the state file had reached it
	first    uint64 // L: first index of the log, 0: empty
	last     uint64 // last index of the log
}

// start says how a group goes on from what is on disk.
type start uint8

const (
	goOn       start = iota + 1 // from the state file; the log behind it is replayed
	restore                     // from the newest snapshot, then the log
	quarantine                  // from nothing: what is here does not fit together
)

// bootRule decides how to start. The library takes the newest snapshot as applied and replays the log behind
// it, so that the log must reach down to S; a state file that is ahead of log, snapshot and base says that
// synced log entries are gone, and with them perhaps a vote.
func bootRule(d onDisk) (start, string) {
	switch {
	case d.first > d.snapshot+1:
		return quarantine, fmt.Sprintf("the log begins at %d, the newest snapshot is at %d", d.first, d.snapshot)
	case d.state > max(d.last, d.snapshot, d.base):
		return quarantine, fmt.Sprintf("the state is at %d, the log ends at %d, the newest snapshot is at %d", d.state, d.last, d.snapshot)
	case d.state < d.snapshot && d.spent:
		return quarantine, fmt.Sprintf("the state is at %d and had reached the newest snapshot, at %d", d.state, d.snapshot)
	case d.state < d.snapshot:
		return restore, fmt.Sprintf("the state is at %d, the newest snapshot at %d", d.state, d.snapshot)
	}
	return goOn, ""
}

// disk is what a group has open in its directory.
type disk struct {
	dir       string
	logs      *seglog.Log
	store     *store
	snapshots raft.SnapshotStore // what raft sees; copies
	copies    *snapshots
}

func openDisk(dir string, logger *raftLog, fatal func(error)) (*disk, error) {
	if err := MakeDir(dir); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	labels, err := raft.NewFileSnapshotStoreWithLogger(dir, maxKept, logger)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	if err := refuseOldLog(dir); err != nil {
		return nil, err
	}
	st, err := openStore(dir, fatal) // first: it has the lock against another process
	if err != nil {
		return nil, err
	}
	logs, err := openLog(dir) // last: it syncs dir, with what was made here
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	s := &snapshots{SnapshotStore: labels, store: st, holds: &holds{}}
	return &disk{dir: dir, logs: logs, store: st, snapshots: s, copies: s}, nil
}

func openLog(dir string) (*seglog.Log, error) {
	if err := removeHalfWritten(filepath.Join(dir, snapshotDir)); err != nil {
		return nil, err
	}
	return seglog.Open(filepath.Join(dir, logDir))
}

// refuseOldLog finds a directory of a build whose log this one cannot read.
func refuseOldLog(dir string) error {
	path := filepath.Join(dir, oldLogFile)
	switch _, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	return fmt.Errorf("data directory %s: %s is the log of an older build, which this one does not read; nothing was changed. "+
		"While most of the group's other replicas are up, move %s elsewhere and start again: "+
		"the node then sets its state aside and copies it from them. Do this on one node at a time", dir, oldLogFile, path)
}

// removeHalfWritten clears what a crash in the middle of a snapshot left.
func removeHalfWritten(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

func (d *disk) close() error { return errors.Join(d.store.close(), d.logs.Close()) }

// survey reads what bootRule wants to know.
func (d *disk) survey() (o onDisk, newest string, err error) {
	list, err := d.snapshots.List()
	if err != nil {
		return o, "", fmt.Errorf("list %s: %w", filepath.Join(d.dir, snapshotDir), err)
	}
	o.state = d.store.mark().index
	if len(list) > 0 {
		o.snapshot, newest = list[0].Index, list[0].ID
		if at, ok, err := d.copies.placeOf(newest); err == nil && ok { // a label that cannot be read has a state, as far as is known
			o.spent = at.file == "" || !exists(filepath.Join(d.dir, at.file))
			if o.state >= at.reached {
				o.state = max(o.state, o.snapshot) // what the label counts beyond it had no effect
			}
		}
	}
	if o.first, err = d.logs.FirstIndex(); err != nil {
		return o, "", err
	}
	if o.last, err = d.logs.LastIndex(); err != nil {
		return o, "", err
	}
	err = d.store.view(func(tx *bolt.Tx) (err error) {
		o.base, err = readBase(tx)
		return err
	})
	return o, newest, err
}

// termOf gives the term of an entry, 0 when it is not known: it is no longer in the log and not the last one of the
// newest snapshot, behind which an idle group may write nothing for long.
func (d *disk) termOf(index uint64) uint64 {
	var l raft.Log
	if d.logs.GetLog(index, &l) == nil {
		return l.Term
	}
	if list, err := d.snapshots.List(); err == nil && len(list) > 0 && list[0].Index == index {
		return list[0].Term
	}
	return 0
}

// removeCopies clears what a crash left of states received or read.
func (d *disk) removeCopies() error {
	if err := errors.Join(d.copies.remove(incomingAs), d.copies.remove(outgoingAs)); err != nil {
		return fmt.Errorf("data directory %s: %w", d.dir, err)
	}
	return nil
}

// forgetIncoming clears received states that no snapshot names.
func (d *disk) forgetIncoming() error { return d.copies.remove(incomingAs) }

// restoreNewest puts the newest snapshot in the place of the state.
func (d *disk) restoreNewest(id string) error {
	_, r, err := d.snapshots.Open(id)
	if err != nil {
		return fmt.Errorf("open snapshot %s: %w", filepath.Join(d.dir, snapshotDir, id), err)
	}
	defer r.Close()
	if err := d.store.restore(r); err != nil {
		return fmt.Errorf("snapshot %s: %w", filepath.Join(d.dir, snapshotDir, id), err)
	}
	return nil
}

// dropStale removes a log that ends before the newest snapshot, as a crash between the receipt of a snapshot and
// the removal of the log leaves it: its last entries may never have been committed.
func (d *disk) dropStale(o onDisk) error {
	if o.first == 0 || o.last >= o.snapshot {
		return nil
	}
	return d.logs.DeleteRange(o.first, o.last)
}

// verifyLog reads the entries that raft is about to replay, so that a bad one is an error here, not a panic there.
func (d *disk) verifyLog(after, last uint64) error {
	var l raft.Log
	for i := after + 1; i <= last; i++ {
		if err := d.logs.GetLog(i, &l); err != nil {
			return fmt.Errorf("%s: entry %d: %w", filepath.Join(d.dir, logDir), i, err)
		}
	}
	return nil
}

// setAside moves everything out of the way into a directory of its own and leaves the note that this node
// must not vote before it has caught up: it may have forgotten what it promised. sync is syncDir.
func setAside(dir string, sync func(string) error) (string, error) {
	to := filepath.Join(dir, quarantineAs+time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	if err := writeNote(dir, rejoinFile); err != nil {
		return "", err
	}
	for _, name := range []string{logDir, stateFile, snapshotDir} {
		err := os.Rename(filepath.Join(dir, name), filepath.Join(to, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("quarantine: %w", err)
		}
	}
	// First what was added, then what is gone: a crash between leaves both names, not none.
	if err := errors.Join(sync(to), sync(dir)); err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	if err := removeNote(dir, rebuildFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	return to, nil
}

// oldQuarantines lists the directories set aside before the newest ones.
func oldQuarantines(dir string) []string {
	all, err := filepath.Glob(filepath.Join(dir, quarantineAs+"*"))
	if err != nil || len(all) <= maxKept {
		return nil
	}
	slices.Sort(all) // by time, which is of fixed length
	return all[:len(all)-maxKept]
}

// emptyDir removes what is in dir. The directory itself stays: how many there are tells how often a replica was set aside.
func emptyDir(dir string) (removed int, err error) {
	inside, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range inside {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

func writeNote(dir, name string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

func mustRejoin(dir string) (bool, error) { return hasNote(dir, rejoinFile) }

func hasNote(dir, name string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func removeNote(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}
