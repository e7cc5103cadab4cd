package replication

import (
	"context"
	"errors"
	"time"

	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// Calendar gives the group's wall time as this replica has applied it, the zero time while there is none.
func (g *Group) Calendar() time.Time { return g.disk.store.mark().calendar.Time() }

// keepCalendar moves the group's calendar on while this node leads: at once, since a new group has none, and then at every tick.
func (g *Group) keepCalendar(ctx context.Context) {
	t := time.NewTicker(g.cfg.Timing.Calendar)
	defer t.Stop()
	for last := time.Now(); ; {
		now := time.Now()
		if now.Sub(last) > session.CalendarStep {
			g.log.Warn("this process stood still: the calendar does not count it", "for", now.Sub(last))
		}
		if g.proposeCalendar(ctx, now, now.Sub(last)) { // one that is lost is made up for by the next
			last = now
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// proposeCalendar reports whether the entry was applied. One with an unknown outcome counts as applied: the calendar may be late,
// never early.
func (g *Group) proposeCalendar(ctx context.Context, now time.Time, elapsed time.Duration) bool {
	c := &wire.Command{Body: &wire.Command_Calendar{Calendar: &wire.CmdCalendar{WallMs: now.UnixMilli(), ElapsedNs: int64(elapsed)}}}
	buf, err := encodeCommand(c)
	if err == nil {
		_, err = g.submit(ctx, [][]byte{buf}, len(buf))
	}
	return err == nil || errors.Is(err, errUnknown)
}
