package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// recoverFile is the order to go on alone, in a new cluster epoch, which is its content. It stays until that is done, so
// that a crash in between is made good at the next start. From the moment that it is there no other way is left: entries of
// which nobody knows whether they were committed are applied.
const recoverFile = "recover"

// Recovery says how a replica goes on without the majority of its group.
type Recovery struct {
	Node        skein.NodeID
	Group       uint32
	Epoch       uint64 // the new one, see NextEpoch
	SnapshotKey []byte
	Log         *slog.Logger // nil: discard
}

// OrderRecovery makes these replicas go on alone: they end with ErrReopen, and the next Open carries the order out. If any of
// them is refused none is ordered. A group that has a leader is: it needs no recovery, and would lose what its
// majority goes on to acknowledge.
func OrderRecovery(groups []*Group, epoch uint64) error {
	for _, g := range groups {
		if err := g.mayRecover(epoch); err != nil {
			return err
		}
	}
	for _, g := range groups {
		if err := orderRecovery(g.cfg.Dir, epoch); err != nil {
			return err
		}
	}
	for _, g := range groups {
		g.outcast.Store(true)
		g.fatal(fmt.Errorf("group %d: an operator has ordered a recovery: %w", g.cfg.Group, ErrReopen))
	}
	return nil
}

func (g *Group) mayRecover(epoch uint64) error {
	if r := g.raft.Load(); r != nil && g.hears(r) {
		leader, _ := g.Leader()
		return skein.Fault(skein.CodeRefused, "group %d has a leader, %s: it has lost no quorum", g.cfg.Group, leader)
	}
	if at, least := g.epochs.get(); at == 0 || epoch <= least {
		return skein.Fault(skein.CodeRefused, "group %d: this replica is of cluster epoch %d, has heard of %d, and %d was ordered", g.cfg.Group, at, least, epoch)
	}
	return nil
}

func orderRecovery(dir string, epoch uint64) error {
	if err := writeDurably(filepath.Join(dir, recoverFile), strconv.AppendUint(nil, epoch, 10)); err != nil {
		return fmt.Errorf("order recovery: %w", err)
	}
	return nil
}

// Recover makes the replica in dir, of which no process may be running, the only member of its group in a new cluster epoch.
// All that its log holds counts as committed from then on. The others join it: those that have state set it aside.
func Recover(dir string, r Recovery) error {
	found, err := Inspect(dir, r.Group)
	if err != nil {
		return err
	}
	if found.Epoch == 0 {
		return fmt.Errorf("data directory %s: there is no state to recover: choose another replica", dir)
	}
	if r.Epoch <= found.Epoch {
		return fmt.Errorf("data directory %s: it is of cluster epoch %d, and %d is not above it", dir, found.Epoch, r.Epoch)
	}
	if err := orderRecovery(dir, r.Epoch); err != nil {
		return err
	}
	return recoverDir(dir, r)
}

// recoverIfOrdered carries out an order that is there.
func (g *Group) recoverIfOrdered() error {
	data, err := os.ReadFile(filepath.Join(g.cfg.Dir, recoverFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", g.cfg.Dir, err)
	}
	epoch, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w: want the number of a cluster epoch, not %.40q; remove it and order the recovery again",
			filepath.Join(g.cfg.Dir, recoverFile), errCorrupt, data)
	}
	return recoverDir(g.cfg.Dir, Recovery{Node: g.cfg.Node, Group: g.cfg.Group, Epoch: epoch, SnapshotKey: g.cfg.SnapshotKey, Log: g.log})
}

// recoverDir does what raft.RecoverCluster does, on this room's disk and by its boot rule. It may be repeated from any step.
func recoverDir(dir string, r Recovery) error {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	failed := make(chan error, 1) // the first counts
	d, err := openDisk(dir, newRaftLog(r.Log), func(err error) {
		select {
		case failed <- err:
		default:
		}
	})
	if err != nil {
		return err
	}
	d.store.key = r.SnapshotKey
	err = d.goOnAlone(r, failed)
	if err = errors.Join(err, d.close()); err != nil {
		return fmt.Errorf("recover %s: %w", dir, err)
	}
	return nil
}

func (d *disk) goOnAlone(r Recovery, failed <-chan error) error {
	found, newest, err := d.survey()
	if err != nil {
		return err
	}
	switch rule, why := bootRule(found); rule {
	case quarantine:
		return fmt.Errorf("%w: %s: choose another replica", errCorrupt, why)
	case restore:
		err = d.restoreNewest(newest)
	}
	if err == nil {
		err = d.dropStale(found)
	}
	if err == nil {
		err = d.verifyLog(found.snapshot, found.last)
	}
	if err != nil {
		return err
	}
	if err := d.replay(r, max(found.last, found.snapshot), failed); err != nil {
		return err
	}
	if err := d.aloneFrom(r.Node, r.Epoch); err != nil {
		return err
	}
	at := d.store.mark()
	r.Log.Warn("this replica goes on alone, in a new cluster epoch", "epoch", r.Epoch, "index", at.index, "sessions", at.sessions)
	return nil
}

// replay applies the rest of the log, also what was never known to be committed: what was acknowledged may be there and
// nowhere else.
func (d *disk) replay(r Recovery, last uint64, failed <-chan error) error {
	ctx, stop := context.WithCancel(context.Background())
	var flushing sync.WaitGroup
	defer flushing.Wait()
	defer stop()
	flushing.Go(func() { d.store.run(ctx, 75*time.Millisecond) })
	m := &machine{group: r.Group, epochs: &epochs{at: r.Epoch, least: r.Epoch}, store: d.store, fatal: func(error) {}, stop: ctx.Done()}
	var l raft.Log
	for i := d.store.mark().index + 1; i <= last; i++ {
		if err := d.logs.GetLog(i, &l); err != nil {
			return err
		}
		if _, err := m.applyLog(&l); err != nil {
			return err
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
	return d.store.flush()
}

// aloneFrom makes node the only voter from the state that is here, in a new epoch. The order of steps matters: until the snapshot is
// complete the old membership stands, and the note goes last.
func (d *disk) aloneFrom(node skein.NodeID, epoch uint64) error {
	at := d.store.mark()
	first, err := d.logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := d.logs.LastIndex()
	if err != nil {
		return err
	}
	if err := d.snapshotAlone(node, at); err != nil {
		return err
	}
	if last > 0 {
		if err := d.logs.DeleteRange(first, last); err != nil {
			return err
		}
	}
	if err := d.raiseTerm(at.term); err != nil {
		return err
	}
	if err := (&epochs{dir: d.dir}).set(epoch, epoch); err != nil {
		return err
	}
	for _, note := range []string{rejoinFile, formingFile, rebuildFile, recoverFile} {
		if err := removeNote(d.dir, note); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// snapshotAlone takes a snapshot whose membership is node alone.
func (d *disk) snapshotAlone(node skein.NodeID, at mark) error {
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(node), Address: raft.ServerAddress(node)}}}
	_, encoder := raft.NewInmemTransport(raft.ServerAddress(node)) // the library wants one for how addresses are written
	sink, err := d.snapshots.Create(1, at.index, at.term, alone, at.index, encoder)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := (&image{store: d.store, need: at.index}).Persist(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return syncDir(filepath.Join(d.dir, snapshotDir))
}

// raiseTerm goes beyond every term in which this replica may have voted.
func (d *disk) raiseTerm(term uint64) error {
	key := []byte("CurrentTerm") // the library's name
	seen, err := d.logs.GetUint64(key)
	if err != nil && err.Error() != "not found" { // as the library tells a missing key
		return err
	}
	return d.logs.SetUint64(key, max(seen, term)+1)
}
