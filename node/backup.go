package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/telemetry"
)

// Of scheduled backups.
const (
	backupEvery = 24 * time.Hour
	backupKept  = 7
	backupLook  = 10 * time.Second // how often the leader of group 0 looks whether one is due
	backupAgain = 10 * time.Minute // after a failure, or sooner where they are made more often
	backupLimit = 6 * time.Hour    // of one backup
)

// backups makes the backups of this node, one at a time.
type backups struct {
	n   *Node
	key backup.Key

	orders   chan order
	failures *telemetry.Counter

	mu    sync.Mutex // guards state
	state admin.BackupState
}

// order is a backup that is wanted.
type order struct {
	to    string
	keep  int                      // 0: all stay
	begun chan<- admin.BackupState // has room for one: the state it began with; nil: nobody asks
}

func (n *Node) openBackups() error {
	secret := n.secrets.secret.BackupKey()
	key, err := backup.NewKey(n.cfg.Service, secret[:])
	if err != nil {
		return err
	}
	n.copies = make(chan struct{}, maxCopies)
	n.backups = &backups{n: n, key: key, orders: make(chan order),
		failures: n.meters.Counter("skein_backup_failures_total", "Backups of this node that failed, or whose older ones could not be removed.")}
	n.mesh.HandleRegion(serviceCopy, n.handleCopy)
	return nil
}

// Start satisfies admin.Backups.
func (b *backups) Start(ctx context.Context, to string, keep int) (admin.BackupState, error) {
	if err := CheckDepot(to); err != nil {
		return admin.BackupState{}, skein.Fault(skein.CodeMalformed, "to: %v", err)
	}
	begun := make(chan admin.BackupState, 1)
	select {
	case b.orders <- order{to, keep, begun}:
		return <-begun, nil // until then State tells of the one before, and who asked would take that for the answer
	case <-time.After(time.Second):
		return admin.BackupState{}, skein.Fault(skein.CodeOverloaded, "node %s makes a backup already: wait for it, or ask another node", b.n.cfg.Node)
	case <-ctx.Done():
		return admin.BackupState{}, context.Cause(ctx)
	}
}

// State satisfies admin.Backups.
func (b *backups) State() admin.BackupState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// run makes what is ordered, and what is due, until ctx ends.
func (b *backups) run(ctx context.Context) error {
	look := time.NewTicker(backupLook)
	defer look.Stop()
	var s schedule
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-b.orders:
			b.make(ctx, o) //nolint:errcheck // it is in the state
		case <-look.C:
			b.makeDue(ctx, &s)
		}
	}
}

// schedule is what the leader of group 0 knows of the scheduled backups.
type schedule struct {
	led  bool      // group 0, at the last look
	next time.Time // when one is due; zero: the depot has to be asked
}

// makeDue makes a scheduled backup if this node leads group 0 and the newest one is old enough.
func (b *backups) makeDue(ctx context.Context, s *schedule) {
	conf := b.n.cfg.Backup
	leads := b.n.region.Groups()[0].IsLeader()
	if !leads || conf.To == "" {
		s.led = false
		return
	}
	if !s.led {
		s.led, s.next = true, time.Time{}
	}
	every, keep := conf.Every, conf.Keep
	if every == 0 {
		every = backupEvery
	}
	if keep == 0 {
		keep = backupKept
	}
	if s.next.IsZero() {
		newest, err := b.newest(ctx, conf.To)
		if err != nil {
			b.failed(err)
			s.next = time.Now().Add(min(every, backupAgain))
			return
		}
		s.next = newest.Add(every)
	}
	if time.Now().Before(s.next) {
		return
	}
	if err := b.make(ctx, order{to: conf.To, keep: keep}); err != nil {
		s.next = time.Now().Add(min(every, backupAgain))
		return
	}
	s.next = time.Now().Add(every)
}

// newest gives the time of the newest backup of this mesh and region, the zero time for none.
func (b *backups) newest(ctx context.Context, at string) (time.Time, error) {
	d, err := OpenDepot(at)
	if err != nil {
		return time.Time{}, err
	}
	defer d.Close()
	list, err := backup.List(ctx, d, b.key, b.n.cfg.Region)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range list {
		if e.Err == nil {
			b.succeeded(&e.Manifest)
			return e.At, nil
		}
	}
	return time.Time{}, nil
}

// make makes one backup and then removes those that are too many.
func (b *backups) make(ctx context.Context, o order) error {
	ctx, cancel := context.WithTimeout(ctx, backupLimit)
	defer cancel()
	b.set(func(s *admin.BackupState) {
		*s = admin.BackupState{Node: b.n.cfg.Node, Running: true, To: o.to, Began: time.Now()}
		if o.begun != nil {
			o.begun <- *s
		}
	})
	m, removed, err := b.write(ctx, o)
	b.set(func(s *admin.BackupState) {
		s.Running, s.Ended, s.Removed = false, time.Now(), removed
		if m != nil {
			s.Backup = summary(m)
		}
		if err != nil {
			s.Error = err.Error()
		}
	})
	if m != nil {
		b.succeeded(m)
		b.n.log.Info("backup made", "name", m.Name, "to", o.to, "took_ms", m.Took, "removed", removed)
	}
	if err != nil {
		b.failed(err)
	}
	if m != nil {
		return nil // what could not be removed is looked at again with the next one
	}
	return err
}

func (b *backups) write(ctx context.Context, o order) (*backup.Manifest, []string, error) {
	d, err := OpenDepot(o.to)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	m, err := backup.Write(ctx, d, b.key, backup.Manifest{
		Region: b.n.cfg.Region, Node: b.n.cfg.Node, Build: Build().Version, Groups: len(b.n.region.Groups()),
	}, b.n.copyOf)
	if err != nil || o.keep == 0 {
		return m, nil, err
	}
	removed, err := backup.Prune(ctx, d, b.key, b.n.cfg.Region, o.keep)
	if err != nil {
		err = fmt.Errorf("the backup is made; older ones are not removed: %w", err)
	}
	return m, removed, err
}

func (b *backups) set(f func(*admin.BackupState)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.state)
}

func (b *backups) failed(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	b.failures.Inc()
	b.n.log.Error("backup failed", "error", err)
}

// succeeded shows the newest backup that this node knows of.
func (b *backups) succeeded(m *backup.Manifest) {
	size := int64(0)
	for i := range m.Parts {
		size += m.Parts[i].Stored
	}
	set := func(name, help string, v float64) { b.n.meters.Gauge(name, help).Set(v) }
	set("skein_backup_last_success_seconds", "When the newest backup that this node made or found began, in seconds since 1970.", float64(m.At.Unix()))
	set("skein_backup_bytes", "Bytes of that backup.", float64(size))
	set("skein_backup_seconds", "How long that backup took.", float64(m.Took)/1000)
}

// summary is what operators see of a backup.
func summary(m *backup.Manifest) *admin.Backup {
	out := &admin.Backup{Name: m.Name, Region: m.Region, Epoch: m.Epoch, At: m.At, TookMS: m.Took, Node: m.Node, Groups: m.Groups}
	for i := range m.Parts {
		p := &m.Parts[i]
		out.Bytes += p.Stored
		out.Sessions += p.Sessions
		out.From = append(out.From, p.From)
		out.Index = append(out.Index, p.Index)
	}
	return out
}
