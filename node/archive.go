package node

import (
	"context"
	"fmt"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/replication/archive"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/telemetry"
)

// Pace of the archive: one batch a group at a time, of at most a page of replication.Group.Unarchived.
const (
	archiveAfter = 7 * 24 * time.Hour
	archivePause = time.Second // between two batches
	archiveRest  = time.Minute // when nothing is due, or after a failure
	archiveLimit = 10 * time.Minute
	archivePage  = 500            // events
	archivePrune = 24 * time.Hour // between two looks for what was cut off, by the leader of the first group
)

// archiver copies old closed sessions to a depot, and notes in each that it is there. It works for the groups that this
// node leads; whoever leads next goes on with what is not noted yet.
type archiver struct {
	n        *Node
	key      backup.Key
	after    time.Duration
	cursors  []string // by group: where the pass goes on
	kept     *telemetry.Counter
	failures *telemetry.Counter
	unread   *telemetry.Counter
	pruned   time.Time // when this node last removed what was cut off
}

// archive runs until ctx ends.
func (n *Node) archive(ctx context.Context) error {
	if n.cfg.Archive.To == "" {
		<-ctx.Done()
		return nil
	}
	a := &archiver{
		n: n, key: n.backups.key, after: n.cfg.Archive.After, cursors: make([]string, len(n.region.Groups())),
		kept:     n.meters.Counter("skein_archived_sessions_total", "Closed sessions that this node copied to the archive."),
		failures: n.meters.Counter("skein_archive_failures_total", "Batches of the archive that this node could not store."),
		unread:   n.meters.Counter("skein_archive_unread_total", "Attempts at closed sessions that the archive left out as their history could not be read."),
	}
	if a.after == 0 {
		a.after = archiveAfter
	}
	rest := time.NewTimer(archivePause)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
		busy, err := a.pass(ctx)
		if err != nil && ctx.Err() == nil {
			a.failures.Inc()
			n.log.Error("closed sessions are not archived", "error", err)
		}
		if busy && err == nil {
			rest.Reset(archivePause)
		} else {
			rest.Reset(archiveRest)
		}
	}
}

// pass archives one page of each group that this node leads; busy says that there may be more.
func (a *archiver) pass(ctx context.Context) (busy bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, archiveLimit)
	defer cancel()
	var d *Depot
	for i, g := range a.n.region.Groups() {
		if !g.IsLeader() {
			a.cursors[i] = ""
			continue
		}
		due, next, err := g.Unarchived(a.after, a.cursors[i])
		if err != nil {
			return false, err
		}
		a.cursors[i] = next
		busy = busy || next != ""
		if len(due) == 0 {
			continue
		}
		if d == nil {
			if d, err = OpenDepot(a.n.cfg.Archive.To); err != nil {
				return false, err
			}
			defer d.Close()
		}
		if err := a.group(ctx, d, uint32(i), g, due); err != nil {
			a.cursors[i] = ""
			return false, fmt.Errorf("group %d: %w", i, err)
		}
		if i == 0 {
			a.prune(ctx, d)
		}
	}
	return busy, nil
}

// prune removes once a day what an upload or an erase that was cut off has left. A failure holds up no batch.
func (a *archiver) prune(ctx context.Context, d *Depot) {
	if time.Since(a.pruned) < archivePrune {
		return
	}
	a.pruned = time.Now()
	removed, err := archive.Prune(ctx, d, a.key, a.n.cfg.Region)
	if err != nil && ctx.Err() == nil {
		a.n.log.Error("what was cut off stays in the archive until tomorrow", "error", err)
	}
	if removed > 0 {
		a.n.log.Info("the archive is rid of what was cut off", "objects", removed)
	}
}

// archived is what the archive needs of a replication.Group.
type archived interface {
	History(ctx context.Context, id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error)
	Propose(ctx context.Context, commands ...session.Command) ([]session.Result, error)
}

// group stores a page, in batches of one day each.
func (a *archiver) group(ctx context.Context, d *Depot, number uint32, g archived, due []replication.DueSession) error {
	for len(due) > 0 {
		day := due[0].Last.UTC().Truncate(24 * time.Hour)
		n := 1
		for n < len(due) && due[n].Last.UTC().Truncate(24*time.Hour).Equal(day) {
			n++
		}
		seen, err := a.batch(ctx, d, archive.Place{Region: a.n.cfg.Region, Group: number, Day: day}, g, due[:n])
		if err != nil {
			return err
		}
		due = due[seen:]
	}
	return nil
}

// batch stores as many sessions as one batch takes, and then notes it in them; seen says how many it has dealt with. A session that has
// moved on meanwhile refuses the note, and is due again; so is one that cannot be read, which holds up nobody.
func (a *archiver) batch(ctx context.Context, d *Depot, at archive.Place, g archived, due []replication.DueSession) (seen int, err error) {
	batch := make([]archive.Session, len(due))
	for i, s := range due {
		batch[i] = archive.Session{ID: s.Session, Subject: s.Subject, Seq: s.Seq, Events: events(g, s.Session)}
	}
	done, err := archive.Write(ctx, d, a.key, at, batch)
	if err != nil {
		return 0, err
	}
	var stored []archive.Session
	var notes []session.Command
	for _, s := range batch[:done.Seen] {
		if err := done.Unread[s.ID]; err != nil {
			a.unread.Inc()
			a.n.log.Error("a closed session is not archived: its history cannot be read here", "group", at.Group, "session", s.ID, "error", err)
			continue
		}
		stored = append(stored, s)
		notes = append(notes, session.Command{Session: s.ID, Expect: s.Seq, At: time.Now().Truncate(time.Millisecond), Body: session.Archive{}})
	}
	results, err := g.Propose(ctx, notes...)
	if err != nil {
		return 0, fmt.Errorf("note it in the sessions: %w", err)
	}
	for _, r := range results {
		if r.Err == nil {
			a.kept.Inc()
		}
	}
	return done.Seen, withdraw(ctx, d, a.key, at.Region, stored, results)
}

// withdraw takes sessions out of the archive that were erased while they were stored: whoever erased them may have looked into
// the archive before the batch was there. One that was purged stays, it was archived before.
func withdraw(ctx context.Context, s backup.Store, key backup.Key, region skein.Region, batch []archive.Session, results []session.Result) error {
	for i := range results {
		if st := results[i].State; st == nil || st.Phase != session.PhaseErased {
			continue
		}
		if _, err := archive.Erase(ctx, s, key, region, archive.Wanted{Session: batch[i].ID}); err != nil {
			return fmt.Errorf("take %s out of the archive, it was erased: %w", batch[i].ID, err)
		}
	}
	return nil
}

// events reads a session page by page.
func events(g archived, id skein.SessionID) func(context.Context, skein.Seq) ([]session.Event, error) {
	return func(ctx context.Context, after skein.Seq) ([]session.Event, error) {
		return g.History(ctx, id, after, archivePage)
	}
}
