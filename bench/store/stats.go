package store

import (
	"errors"
	"math"
	"slices"
	"time"
)

// Result is one line of a report: what one system did with a number of clients.
type Result struct {
	System    string  `json:"system"`
	Clients   int     `json:"clients"`
	PerSecond float64 `json:"per_second"` // records acknowledged per second
	P50       float64 `json:"p50_ms"`     // milliseconds from a client's call to its answer
	P99       float64 `json:"p99_ms"`
}

// result reduces what the clients saw within measure.
func (s sample) result(measure time.Duration) (Result, error) {
	if s.completed == 0 || len(s.took) == 0 {
		return Result{}, errors.New("no record was acknowledged within the measured time")
	}
	slices.Sort(s.took)
	return Result{
		PerSecond: round(float64(s.completed)/measure.Seconds(), 1),
		P50:       round(milliseconds(percentile(s.took, 50)), 3), P99: round(milliseconds(percentile(s.took, 99)), 3),
	}, nil
}

// percentile gives the smallest of the sorted durations that at least p per cent of them do not exceed (nearest
// rank, no interpolation). There is at least one; p is above 0 and at most 100.
func percentile(sorted []time.Duration, p float64) time.Duration {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func round(x float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(x*unit) / unit
}
