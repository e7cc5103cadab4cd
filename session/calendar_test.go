package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCalendarBearsSteppedClocks: whatever the wall clocks of the leaders say, the calendar goes forward at 7/8 to 9/8 of the speed
// of their monotonic clocks.
func TestCalendarBearsSteppedClocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth := CalendarOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		start := truth + Calendar(rapid.Int64Range(-1e12, 1e12).Draw(t, "first"))
		cal := Calendar(0).Advance(start, 0)
		if want := max(start, 0); start >= firstYear && cal != want {
			t.Fatalf("first: got %d, want %d", cal, want)
		}
		begun := cal
		var passed time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			elapsed := time.Duration(rapid.Int64Range(0, int64(CalendarStep)).Draw(t, "elapsed")) / time.Millisecond * time.Millisecond
			truth += Calendar(elapsed / time.Millisecond)
			step := rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour}).Draw(t, "step")
			before := cal
			cal = cal.Advance(truth+Calendar(step/time.Millisecond), elapsed)
			if cal < before {
				t.Fatalf("went back from %d to %d", before, cal)
			}
			passed += elapsed
		}
		ms := Calendar(passed / time.Millisecond)
		if moved := cal - begun; begun != 0 && (moved > ms+ms/8 || moved < ms-ms/8-60) { // each tick rounds
			t.Fatalf("moved by %d ms while %d ms passed", moved, ms)
		}
	})
}

func TestCalendarAdvance(t *testing.T) {
	const day = Calendar(24 * 3600 * 1000)
	noon := CalendarOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	minute := Calendar(60_000)
	tests := []struct {
		name    string
		cal     Calendar
		wall    Calendar
		elapsed time.Duration
		want    Calendar
	}{
		{"the first wall time", 0, noon, 0, noon},
		{"an unset clock sets nothing", 0, 1000, time.Minute, 0},
		{"in step", noon, noon + minute, time.Minute, noon + minute},
		{"behind: catches up at 9/8 of the speed", noon, noon + day, time.Minute, noon + minute + minute/8},
		{"ahead: goes on at 7/8 of the speed", noon, noon - 3650*day, time.Minute, noon + minute - minute/8},
		{"a silence counts as little", noon, noon + 30*day, 30 * 24 * time.Hour, noon + 10*minute + 10*minute/8},
		{"no time passed", noon, noon + day, 0, noon},
		{"a negative time", noon, noon + day, -time.Hour, noon},
	}
	for _, tt := range tests {
		if got := tt.cal.Advance(tt.wall, tt.elapsed); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got.Time(), tt.want.Time())
		}
	}
}

func TestAge(t *testing.T) {
	noon := CalendarOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		now  Now
		was  Calendar
		want time.Duration
	}{
		{Now{Calendar: noon}, noon - 1000, time.Second},
		{Now{Calendar: noon}, noon, 0},
		{Now{Calendar: noon}, noon + 1, 0},
		{Now{Calendar: noon, First: noon - 5000}, 0, 5 * time.Second}, // before the group had a calendar
		{Now{}, 0, 0},
		{Now{Calendar: noon, First: 1}, 0, time.Duration(noon-1) * time.Millisecond},
		{Now{Calendar: 1 << 60}, 1, 100 * 365 * 24 * time.Hour},
	} {
		if got := tt.now.Age(tt.was); got != tt.want {
			t.Errorf("age of %d in %+v: got %v, want %v", tt.was, tt.now, got, tt.want)
		}
	}
}
