package session

import "time"

// Calendar is the wall time of a group as all its replicas agree on it: milliseconds since 1970, 0 before the group
// knows it. Ages are counted in it, never by a proposer's clock.
type Calendar int64

const (
	// CalendarStep is the most time that one entry may say has passed; a longer silence counts as this.
	CalendarStep = 10 * time.Minute
	// firstYear is before any clock that was ever set; an unset one says 1970 or 1980.
	firstYear = Calendar(946_684_800_000) // 2000-01-01
)

// CalendarOf gives the calendar's form of a wall time.
func CalendarOf(t time.Time) Calendar { return Calendar(t.UnixMilli()) }

// Time gives the wall time, the zero time for 0.
func (c Calendar) Time() time.Time {
	if c == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(c)).UTC()
}

// Advance moves the calendar after elapsed has passed on the leader's monotonic clock, at which its wall clock said wall.
// The calendar follows the wall clock at no less than 7/8 and no more than 9/8 of the speed of that elapsed time: a clock
// that is stepped by an hour or ten years neither stops it nor makes anything old at once, and an age is right to an eighth
// whatever the clocks say. The first believable wall time sets it.
func (c Calendar) Advance(wall Calendar, elapsed time.Duration) Calendar {
	if c == 0 {
		if wall < firstYear {
			return 0
		}
		return wall
	}
	ms := Calendar(min(max(elapsed, 0), CalendarStep) / time.Millisecond)
	return min(max(wall, c+ms-ms/8), c+ms+ms/8)
}

// Now is what the state machine knows of time when it applies a command.
type Now struct {
	Clock    Committed // of leases and back-offs
	Calendar Calendar  // of retention
	First    Calendar  // at which the calendar began; what happened before it is at least as old
}

// Age gives how long ago an earlier calendar time was, 0 while there is no calendar; more than a century is one.
func (n Now) Age(was Calendar) time.Duration {
	const century = Calendar(100 * 365 * 24 * time.Hour / time.Millisecond)
	ms := n.Calendar - max(was, n.First)
	return time.Duration(min(max(ms, 0), century)) * time.Millisecond
}
