package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// MaxGroups is how many groups a region can be divided into.
const MaxGroups = 8

const (
	groupsFile    = "groups" // how many groups the region has, in decimal digits
	serviceGroups = "groups" // the service that tells it
)

// GroupOf gives the number of the group, 0 to groups-1, that holds a session: FNV-1a of its id (64 bits), mixed by the
// finalizer of SplitMix64 (Steele and others, OOPSLA 2014), modulo groups. FNV alone would leave the lowest bit to the
// parity of the letters. What is stored depends on it, so it is fixed for ever.
func GroupOf(id skein.SessionID, groups int) int {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return int(h % uint64(groups))
}

// GroupDir gives the directory of one group below that of its region. A region of one group needs none of its own.
func GroupDir(region string, groups, group int) string {
	if groups == 1 {
		return region
	}
	return filepath.Join(region, fmt.Sprintf("group-%d", group))
}

// serviceOf names a service of one group. The number of groups is in it, so that nodes which divide the region in
// different ways do not reach each other. One group keeps the plain name.
func serviceOf(service string, groups, group int) string {
	if groups == 1 {
		return service
	}
	return fmt.Sprintf("%s/%d/%d", service, groups, group)
}

// claimGroups makes dir that of a region with so many groups. What is stored there decides, unless it is empty still:
// then nothing has been agreed with anybody.
func claimGroups(dir string, groups int, logger *raftLog) error {
	if err := MakeDir(dir); err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	stored, err := readGroups(dir)
	if err != nil || stored == groups {
		return err
	}
	if stored > 0 {
		used, err := settled(dir, stored, logger)
		if err != nil {
			return err
		}
		if used {
			return wrongGroups(fmt.Sprintf("data directory %s", dir), stored, groups)
		}
	}
	return writeGroups(dir, groups)
}

func wrongGroups(who string, theirs, ours int) error {
	return skein.Fault(skein.CodeRefused, "%s belongs to a region of %d groups, and this node is configured for %d: set groups to %d. "+
		"The number is fixed when a region is created", who, theirs, ours, theirs)
}

// readGroups gives the number that a directory was made for, 0 when there is none.
func readGroups(dir string) (int, error) {
	path := filepath.Join(dir, groupsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) { // one group of a build that knew no others
		if _, err = os.Stat(filepath.Join(dir, logDir)); errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		data = []byte("1")
	}
	if err != nil {
		return 0, fmt.Errorf("data directory %s: %w", dir, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < 1 || n > MaxGroups {
		return 0, fmt.Errorf("%s: %w: want the number of the region's groups, 1 to %d, not %.20q", path, errCorrupt, MaxGroups, data)
	}
	return n, nil
}

// writeGroups stores the number durably.
func writeGroups(dir string, groups int) error {
	path := filepath.Join(dir, groupsFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	_, err = fmt.Fprintln(f, groups)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err = errors.Join(err, syncDir(dir)); err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	return nil
}

// settled reports whether any group of dir holds a term or an entry, so that the number of groups stands.
func settled(dir string, groups int, logger *raftLog) (bool, error) {
	for i := range groups {
		used, err := holdsState(GroupDir(dir, groups, i), logger)
		if used || err != nil {
			return used, err
		}
	}
	return false, nil
}

func holdsState(dir string, logger *raftLog) (used bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, logDir)); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	logs, err := openLog(dir)
	if err != nil {
		return false, fmt.Errorf("data directory %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, maxKept, logger)
	if err != nil {
		return false, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return raft.HasExistingState(logs, logs, snapshots)
}
