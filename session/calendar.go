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

// Age gives how long ago an earlier calendar time was, 0 when it is not known.
func (c Calendar) Age(was Calendar) time.Duration {
	if was == 0 || was > c {
		return 0
	}
	return time.Duration(min(int64(c-was), int64(maxAge/time.Millisecond))) * time.Millisecond
}

// maxAge keeps an age within a Duration: a century.
const maxAge = 100 * 365 * 24 * time.Hour

// Advance moves the calendar after elapsed has passed on the leader's monotonic clock, at which its wall clock said wall.
// The calendar follows the wall clock at no less than half and no more than twice the speed of that elapsed time, so that a clock
// that is stepped by an hour or ten years neither stops it nor makes anything old at once. The first
// believable wall time sets it.
func (c Calendar) Advance(wall Calendar, elapsed time.Duration) Calendar {
	if c == 0 {
		if wall < firstYear {
			return 0
		}
		return wall
	}
	ms := Calendar(min(max(elapsed, 0), CalendarStep) / time.Millisecond)
	return min(max(wall, c+ms/2), c+2*ms)
}

// Now is what the state machine knows of time when it applies a command.
type Now struct {
	Clock    Committed // of leases and back-offs
	Calendar Calendar  // of retention
}
