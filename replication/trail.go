package replication

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// How much of the log stays behind a snapshot for followers that were away for a moment: what a minute and a half brings, within
// bounds. One that was away for longer, or has nothing, gets a snapshot; what it needs behind that is kept by holds.
const (
	trailEvery = 10 * time.Second
	trailTime  = 90 * time.Second
	trailBytes = 256 << 20

	defaultTrailing = 4096 // entries
)

// trailing gives how many entries to keep behind a snapshot, at least least of them, by what an interval has brought. Little
// traffic changes nothing.
func trailing(entries, bytes uint64, interval time.Duration, least uint64) uint64 {
	want := uint64(float64(entries) * trailTime.Seconds() / interval.Seconds())
	if want <= defaultTrailing {
		return least
	}
	most := trailBytes / max(bytes/entries, 1)
	return max(min(want, most), least)
}

// trail has the library keep as much of the log as its rate calls for, until ctx ends. It rises at once and falls
// by an eighth each time, so that a pause does not cost what came before it.
func (g *Group) trail(ctx context.Context, r *raft.Raft) {
	t := time.NewTicker(trailEvery)
	defer t.Stop()
	entries, bytes := g.watched.appended()
	now := g.cfg.TrailingEntries
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		e, b := g.watched.appended()
		now = max(trailing(e-entries, b-bytes, trailEvery, g.cfg.TrailingEntries), now-now/8, g.cfg.TrailingEntries)
		entries, bytes = e, b
		if _, _, mark := g.space.get(); mark == roomy { // on a full disk the keeper of the space decides
			g.reload(r, func(c *raft.ReloadableConfig) { c.TrailingLogs = now })
		}
	}
}

// keepFrom gives the first entry that must stay in the log, 0 when none has to. On a full disk none has to.
func (g *Group) keepFrom() uint64 {
	if _, _, mark := g.space.get(); mark != roomy {
		return 0
	}
	return g.disk.copies.holds.from(time.Now())
}
