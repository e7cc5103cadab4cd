package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/replication/archive"
	"github.com/skein-mesh/skein/replication/backup"
)

// restorePrefix begins the name of the directory in which a restore works until it is complete.
const restorePrefix = "restoring-"

// Vault is what an operator's command needs of a mesh's backups: where they are, and the key.
type Vault struct {
	*Depot
	Key    backup.Key
	Region skein.Region
}

// OpenVault opens the backups at an address with the secret of a node's configuration. A directory has to be there.
func OpenVault(cfg Config, at string) (*Vault, error) {
	secret, err := readSecret(cfg.Files.Secret)
	if err != nil {
		return nil, err
	}
	raw := secret.BackupKey()
	key, err := backup.NewKey(cfg.Service, raw[:])
	if err != nil {
		return nil, err
	}
	d, err := findDepot(at)
	if err != nil {
		return nil, err
	}
	return &Vault{Depot: d, Key: key, Region: cfg.Region}, nil
}

func readSecret(path string) (mesh.Secret, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mesh secret: %w", err)
	}
	secret := mesh.Secret(bytes.TrimSpace(data))
	if err := secret.Validate(); err != nil {
		return nil, fmt.Errorf("mesh secret %s: %w", path, err)
	}
	return secret, nil
}

// List gives the complete backups of the region, the newest first. Faults holds why others are refused.
func (v *Vault) List(ctx context.Context) (list []admin.Backup, faults []error, err error) {
	entries, err := backup.List(ctx, v.Store, v.Key, v.Region)
	for i := range entries {
		if entries[i].Err != nil {
			faults = append(faults, entries[i].Err)
			continue
		}
		list = append(list, *summary(&entries[i].Manifest))
	}
	return list, faults, err
}

// Verify reads a whole backup, "" is the newest, and checks it as a restore would, in a temporary directory.
func (v *Vault) Verify(ctx context.Context, name string) (*admin.Backup, error) {
	m, err := backup.Load(ctx, v.Store, v.Key, v.Region, name)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "skein-verify-")
	if err != nil {
		return nil, err
	}
	err = v.plant(ctx, m, dir, replication.Recovery{Node: "verify", Epoch: replication.NextEpoch(m.Epoch, time.Now())})
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return nil, err
	}
	return summary(m), nil
}

// Archived writes the archived events of one session, or of all of a subject, as lines of JSON, and gives how many sessions they
// are of.
func (v *Vault) Archived(ctx context.Context, id skein.SessionID, subject skein.Subject, w io.Writer) (int, error) {
	return archive.Find(ctx, v.Store, v.Key, v.Region, archive.Wanted{Session: id, Subject: subject}, w)
}

// EraseArchived takes one session, or all of a subject, out of the archive for ever, and gives how many copies went.
func (v *Vault) EraseArchived(ctx context.Context, id skein.SessionID, subject skein.Subject) (int, error) {
	return archive.Erase(ctx, v.Store, v.Key, v.Region, archive.Wanted{Session: id, Subject: subject})
}

// plant makes the directory of a region from a backup. Everything is verified.
func (v *Vault) plant(ctx context.Context, m *backup.Manifest, dir string, r replication.Recovery) error {
	for i := range m.Parts {
		if err := v.plantGroup(ctx, m, dir, r, uint32(i)); err != nil {
			return fmt.Errorf("backup %s: group %d: %w", m.Name, i, err)
		}
	}
	return nil
}

func (v *Vault) plantGroup(ctx context.Context, m *backup.Manifest, dir string, r replication.Recovery, group uint32) error {
	part := &m.Parts[group]
	raw, err := hex.DecodeString(part.Hash)
	if err != nil || len(raw) != 32 {
		return backup.ErrCorrupt
	}
	in, err := backup.OpenPart(ctx, v.Store, v.Key, m, group)
	if err != nil {
		return err
	}
	defer in.Close()
	r.Group = group
	return replication.Plant(dir, in, replication.Seed{
		Recovery: r, Groups: m.Groups,
		Standing: replication.Standing{Index: part.Index, Term: part.Term, Sessions: part.Sessions, Hash: [32]byte(raw), Size: part.Size},
	})
}

// Restore makes the data directory of a node, on which no process runs and in which there is no replica yet, from a
// backup, "" is the newest. The node is then the first of its region, in a new cluster epoch; the others join it with empty
// directories. With dry everything is read and verified and nothing is made. After an error nothing has changed.
func Restore(ctx context.Context, cfg Config, from, name string, dry bool) (*admin.Backup, error) {
	v, err := OpenVault(cfg, from)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	m, err := backup.Load(ctx, v.Store, v.Key, v.Region, name)
	if err != nil {
		return nil, err
	}
	if groups := max(cfg.Groups, 1); groups != m.Groups {
		return nil, fmt.Errorf("backup %s is of a region of %d groups, and this node is configured for %d: set groups to %d on all nodes of the region",
			m.Name, m.Groups, groups, m.Groups)
	}
	if dry {
		if err := refuseReplica(replicaDir(cfg)); err != nil {
			return nil, err
		}
		return v.Verify(ctx, m.Name)
	}
	lock, err := lockForRestore(cfg)
	if err != nil {
		return nil, err
	}
	defer lock.close()
	return summary(m), v.restore(ctx, cfg, m)
}

func replicaDir(cfg Config) string { return filepath.Join(cfg.Dir, "replica") }

// lockForRestore keeps other processes off the directory, and refuses one that has a replica.
func lockForRestore(cfg Config) (*secrets, error) {
	if err := replication.MakeDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	s := &secrets{}
	if err := s.lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	if err := refuseReplica(replicaDir(cfg)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func refuseReplica(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return fmt.Errorf("%s holds a replica already, and a restore replaces none: if it is not wanted any more, move it elsewhere (mv %s %s.old) "+
		"on every node of the region, then restore on one of them", dir, dir, dir)
}

func (v *Vault) restore(ctx context.Context, cfg Config, m *backup.Manifest) error {
	secret, err := readSecret(cfg.Files.Secret)
	if err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(cfg.Dir, restorePrefix+"*"))
	for _, dir := range left { // of a restore that was cut short
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp(cfg.Dir, restorePrefix)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	key := secret.SnapshotKey()
	err = v.plant(ctx, m, stage, replication.Recovery{
		Node: cfg.Node, Epoch: replication.NextEpoch(m.Epoch, time.Now()), SnapshotKey: key[:], Log: cfg.Log,
	})
	if err == nil {
		err = takePlace(stage, replicaDir(cfg), filepath.Join(cfg.Dir, ownerFile))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(stage))
	}
	return nil
}

// takePlace renames a complete directory to where an empty one, or none, was. owner, which was of what is not there any more, goes.
func takePlace(from, to, owner string) error {
	for _, path := range []string{to, owner} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Replicas tells where the replicas of a node stand that does not run.
func Replicas(cfg Config) ([]admin.Replica, error) {
	if _, err := os.Stat(replicaDir(cfg)); err != nil {
		return nil, fmt.Errorf("node %s: %w", cfg.Node, err)
	}
	s := &secrets{}
	if err := s.lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	defer s.close()
	var out []admin.Replica
	groups := max(cfg.Groups, 1)
	for i := range groups {
		found, err := replication.Inspect(replication.GroupDir(replicaDir(cfg), groups, i), uint32(i))
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", cfg.Node, err)
		}
		out = append(out, adminReplica(cfg.Node, &found))
	}
	return out, nil
}

// Recover makes replicas of a node that does not run go on alone, in a new cluster epoch.
func Recover(cfg Config, groups []uint32, epoch uint64) error {
	secret, err := readSecret(cfg.Files.Secret)
	if err != nil {
		return err
	}
	s := &secrets{}
	if err := s.lockDir(cfg.Dir); err != nil {
		return err
	}
	defer s.close()
	key := secret.SnapshotKey()
	for _, g := range groups {
		dir := replication.GroupDir(replicaDir(cfg), max(cfg.Groups, 1), int(g))
		r := replication.Recovery{Node: cfg.Node, Group: g, Epoch: epoch, SnapshotKey: key[:], Log: cfg.Log}
		if err := replication.Recover(dir, r); err != nil {
			return fmt.Errorf("node %s: %w", cfg.Node, err)
		}
	}
	return nil
}

// NextEpoch gives the cluster epoch with which a group goes on behind old.
func NextEpoch(old uint64, now time.Time) uint64 { return replication.NextEpoch(old, now) }

// AtLeast reports whether replica a holds at least what b holds, see replication.Replica.
func AtLeast(a, b *admin.Replica) bool {
	return (&replication.Replica{Epoch: a.Epoch, Fenced: a.Fenced, LastTerm: a.LastTerm, Last: a.Last}).AtLeast(
		&replication.Replica{Epoch: b.Epoch, Fenced: b.Fenced, LastTerm: b.LastTerm, Last: b.Last})
}
