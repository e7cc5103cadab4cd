package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// logCacheEntries is how many of the newest log entries stay in memory for the followers.
const logCacheEntries = 256

// Group is one replica of a replicated group, or, on a node that is in no configuration, a way to one. Its
// methods may be called from several goroutines, also before Run; what needs the group then waits.
type Group struct {
	cfg     Config
	log     *slog.Logger
	raftLog *raftLog

	disk    *disk
	epochs  *epochs
	machine *machine
	watched *watchedLog

	raft      atomic.Pointer[raft.Raft] // set when Run has started it, after transport
	transport *transport

	proposals *proposals
	links     *links
	held      *held
	lead      *leadership
	horizon   horizon
	reloading sync.Mutex    // one change of the library's settings at a time
	space     space         // of the disks
	heartbeat atomic.Int64  // the present timeout, see pace
	outcast   atomic.Bool   // this replica is wrong: it answers nothing until it ends
	forming   atomic.Bool   // a listed voter with an empty directory, which asks the others first
	asking    chan struct{} // capacity 1: one search for the leader at a time

	compacting chan struct{}          // capacity 1, shared by the groups on one disk
	leads      func(skein.NodeID) int // how many groups of the region a node leads; nil: there is no other group

	failOnce sync.Once
	failed   chan struct{} // closed by the first fatal error
	failure  error         // set before failed is closed
	begun    atomic.Bool   // Run or Close was called: the files are theirs
	closing  chan struct{} // closed when Run begins to stop
	closed   chan struct{} // closed when Run ends
}

// Open opens or makes the replica in cfg.Dir and, where that is called for, restores the newest snapshot or sets
// damaged state aside. Run or Close must follow: they close the files. A file that does not verify gives an error that names it.
func Open(cfg Config) (*Group, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Timing = cfg.Timing.orDefault()
	if cfg.SnapshotEntries == 0 {
		cfg.SnapshotEntries = 2048
	}
	if cfg.TrailingEntries == 0 {
		cfg.TrailingEntries = defaultTrailing
	}
	if cfg.SnapshotRate == 0 {
		cfg.SnapshotRate = defaultSnapshotRate
	}
	if cfg.Space == nil {
		cfg.Space = func() (free, total uint64, err error) { return statSpace(cfg.Dir) }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Group{
		cfg: cfg, log: cfg.Log.With("node", string(cfg.Node), "group", cfg.Group),
		failed: make(chan struct{}), closing: make(chan struct{}), closed: make(chan struct{}),
		asking: make(chan struct{}, 1), compacting: make(chan struct{}, 1),
	}
	g.heartbeat.Store(int64(cfg.Timing.Heartbeat))
	g.raftLog = newRaftLog(g.log)
	g.lead = newLeadership(cfg.Node)
	g.proposals = newProposals(cfg.Group)
	g.proposals.stuck = func() { g.fatal(fmt.Errorf("group %d: %w", cfg.Group, errTransferStuck)) }
	g.cfg.Peers = epochPeers{cfg.Peers, g}
	g.links = newLinks(g.cfg.Peers)
	g.held = newHeld()
	if err := g.openDisk(); err != nil {
		return nil, err
	}
	g.proposals.epochs = g.epochs
	g.machine = &machine{group: cfg.Group, epochs: g.epochs, store: g.disk.store, fatal: g.fatal, stop: g.closing}
	g.watched = newWatchedLog(g.disk.logs, g.fatal)
	g.watched.keep = g.keepFrom
	if err := g.prepareForming(); err != nil {
		return nil, errors.Join(err, g.disk.close())
	}
	return g, nil
}

// openDisk opens the files and applies the boot rule.
func (g *Group) openDisk() error {
	if err := g.recoverIfOrdered(); err != nil {
		return err
	}
	d, err := g.openFiles()
	if err != nil {
		return err
	}
	found, newest, err := d.survey()
	if err != nil {
		return errors.Join(err, d.close())
	}
	rule, why := bootRule(found)
	if g.epochs, err = d.readEpochs(); err != nil {
		return errors.Join(err, d.close())
	} else if at, least := g.epochs.get(); at < least && at > 0 {
		rule, why = quarantine, fmt.Sprintf("the group has gone on without it: its cluster epoch %d is over, %d has begun", at, least)
	}
	if rebuild, err := mustRebuild(g.cfg.Dir); err != nil {
		return errors.Join(err, d.close())
	} else if rebuild {
		rule, why = quarantine, "it differed from the majority of the replicas"
	}
	switch rule {
	case restore:
		g.log.Warn("restoring the newest snapshot", "why", why)
		err = d.restoreNewest(newest)
	case quarantine:
		return g.startEmpty(d, why)
	}
	if err == nil {
		err = d.removeCopies()
	}
	if err == nil {
		err = d.dropStale(found)
	}
	if err == nil {
		err = d.verifyLog(found.snapshot, found.last)
	}
	if err != nil {
		return errors.Join(err, d.close())
	}
	g.disk = d
	return nil
}

// startEmpty sets what d holds aside and opens the directory anew.
func (g *Group) startEmpty(d *disk, why string) error {
	if err := d.close(); err != nil {
		return err
	}
	to, err := setAside(g.cfg.Dir, syncDir)
	if err != nil {
		return err
	}
	if err := g.epochs.forget(); err != nil {
		return err
	}
	g.log.Error("state set aside: this node starts empty and does not vote before it has caught up", "why", why, "moved_to", to)
	for _, old := range oldQuarantines(g.cfg.Dir) {
		removed, err := emptyDir(old)
		if err != nil {
			g.log.Warn("state that was set aside earlier is not removed", "dir", old, "err", err)
		} else if removed > 0 {
			g.log.Warn("state that was set aside earlier is removed", "dir", old, "kept", maxKept)
		}
	}
	if g.disk, err = g.openFiles(); err != nil {
		return err
	}
	if err := g.disk.removeCopies(); err != nil {
		return errors.Join(err, g.disk.close())
	}
	return nil
}

func (g *Group) openFiles() (*disk, error) {
	d, err := openDisk(g.cfg.Dir, g.raftLog, g.fatal)
	if err == nil {
		d.store.key, d.copies.stop = g.cfg.SnapshotKey, g.closing
	}
	return d, err
}

// Close gives back what Open opened when Run will not be called; after Run, and a second time, it does nothing.
func (g *Group) Close() error {
	if g.begun.Swap(true) {
		return nil
	}
	close(g.closing)
	defer close(g.closed)
	return errors.Join(g.cfg.Layer.Close(), g.disk.close())
}

// fatal ends Run with err; the first one counts. It may be called from any goroutine and does not block.
func (g *Group) fatal(err error) {
	g.failOnce.Do(func() {
		g.failure = classified(err)
		close(g.failed)
	})
}

// Run takes part in the group until ctx ends or this replica cannot go on; then it hands leadership over,
// stops and closes the files. The error of a hung or failing disk means that the process must end: what was
// being written has an unknown outcome. Run is called once.
func (g *Group) Run(ctx context.Context) error {
	if g.begun.Swap(true) {
		return fmt.Errorf("group %d: run: %w", g.cfg.Group, os.ErrClosed)
	}
	defer close(g.closed)
	r, err := g.startRaft()
	if err != nil {
		return errors.Join(err, g.disk.close())
	}
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	var service, writers sync.WaitGroup
	service.Go(func() { g.proposals.run(g.closing, r) })
	service.Go(func() { g.follow(inner, r) })
	service.Go(func() { g.search(inner) })
	service.Go(func() { g.inquire(inner, r) })
	service.Go(func() {
		g.form(inner, r)
		g.unfence(inner, r)
	})
	service.Go(func() { g.pace(inner, r) })
	service.Go(func() { g.watchSpace(inner, r) })
	service.Go(func() { g.trail(inner, r) })
	service.Go(func() { g.compare(inner, r) })
	service.Go(func() { g.announce(inner) })
	writers.Go(func() { g.disk.store.run(inner, g.cfg.Timing.Flush) })
	writers.Go(func() { g.raftLog.run(inner) })

	select {
	case <-ctx.Done():
		close(g.closing)
		g.proposals.drain()
		g.handOver(inner, r)
		err = g.stopRaft(r, nil)
	case <-g.failed:
		close(g.closing)
		err = g.stopRaft(r, g.failure)
	}
	stopInner()
	g.links.close()
	if err != nil { // a write may hang for ever; whoever waits for it is left behind, and the process ends
		var closed error
		if waitFor(fatalGrace, service.Wait, writers.Wait, g.transport.wait, func() { closed = g.disk.close() }) {
			err = errors.Join(err, closed)
		}
		return err
	}
	if !waitFor(stopGrace, service.Wait, writers.Wait) {
		err = errors.New("stop: proposals are still unanswered") // raft leaves some behind when it stops
	}
	return errors.Join(err, g.closeDisk())
}

func (g *Group) startRaft() (*raft.Raft, error) {
	fenced, err := mustRejoin(g.cfg.Dir)
	if err != nil {
		return nil, err
	}
	logs, err := raft.NewLogCache(logCacheEntries, g.watched)
	if err != nil {
		return nil, err
	}
	layer := newTrackedLayer(&epochLayer{g.cfg.Layer, g}, g.cfg.Node)
	gate := &snapshotGate{SnapshotStore: g.disk.snapshots, dir: filepath.Join(g.cfg.Dir, snapshotDir), holds: g.holdsEntry}
	g.transport = newTransport(layer, incoming{g.cfg.Dir, g.cfg.SnapshotKey, gate, g.disk.forgetIncoming}, g.watched.hung, g.raftLog)
	g.transport.leads = func() bool {
		r := g.raft.Load()
		return r == nil || r.State() == raft.Leader
	}
	g.transport.holds, g.transport.rate, g.transport.apart = g.disk.copies.holds, g.cfg.SnapshotRate, newApartTransport(g)
	g.transport.fenced.Store(fenced || g.forming.Load())
	at, _ := g.epochs.get()
	g.transport.unsure.Store(at != 0)
	conf := g.cfg.raft(g.raftLog)
	notify := make(chan bool, 8) // raft waits when it is full; leaderships follow each other slower than they are read
	conf.NotifyCh = notify
	g.lead.notify = notify
	r, err := raft.NewRaft(conf, g.machine, logs, g.watched, gate, g.transport)
	if err != nil {
		g.transport.shut()
		g.transport.wait()
		return nil, fmt.Errorf("start raft in %s: %w", g.cfg.Dir, err)
	}
	g.watched.live.Store(true)
	g.lead.observe(r)
	g.raft.Store(r)
	return r, nil
}
