package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

// burstResult is what a burst prints. Latencies count from when a turn was due, or was told to come back.
type burstResult struct {
	Due        int     `json:"due"`
	Answered   int     `json:"answered"`
	Shed       int     `json:"shed"`          // answers that said when to come back
	Returned   int     `json:"returned"`      // turns that came back when they were told to
	ShedAgain  int     `json:"shed_again"`    // of these, sent away once more
	Unsent     int     `json:"unsent"`        // due, but no session was free to the end, or told to come back behind it
	Errors     int     `json:"errors"`        // anything else
	Lost       int     `json:"lost"`          // answered, and not in the history afterwards
	Twice      int     `json:"twice"`         // completed more than once in the history
	Before     float64 `json:"p99_before_ms"` // of the answers before the burst
	Worst      float64 `json:"p99_worst_ms"`  // of the worst quarter of a second
	BackMS     int64   `json:"back_under_target_ms"`
	TargetMS   int64   `json:"p99_target_ms"`
	RetryFirst float64 `json:"retry_after_p50_ms"` // that were told
	RetryLast  float64 `json:"retry_after_p99_ms"`
}

func (r *burstResult) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d turns due, %d answered, %d errors, %d lost, %d twice\n"+
		"%d told to come back (after %.0f ms, p99 %.0f ms); %d came back, %d of them were sent away again; %d not sent to the end\n"+
		"p99 before the burst %.1f ms, in its worst quarter of a second %.1f ms, back under %d ms after %.2f s\n",
		r.Due, r.Answered, r.Errors, r.Lost, r.Twice, r.Shed, r.RetryFirst, r.RetryLast, r.Returned, r.ShedAgain, r.Unsent,
		r.Before, r.Worst, r.TargetMS, float64(r.BackMS)/1000)
	return err
}

// result adds up what became of the turns.
func (b *burst) result() *burstResult {
	r := &burstResult{TargetMS: burstTarget.Milliseconds()}
	var before, told []time.Duration
	slices.SortFunc(b.log, func(x, y sent) int { return cmp.Compare(x.end, y.end) })
	times := map[time.Duration][]time.Duration{} // from the beginning of the burst on, by the end of its slice
	for _, s := range b.log {
		if s.back {
			r.Returned++
		}
		switch {
		case s.after > 0:
			r.Shed++
			told = append(told, s.after)
			if s.back {
				r.ShedAgain++
			}
		case s.err != nil:
			r.Errors++
		default:
			r.Answered++
			if s.end < b.from {
				before = append(before, s.end-s.at)
			} else {
				slice := (s.end-b.from)/burstSlice*burstSlice + burstSlice
				times[slice] = append(times[slice], s.end-s.at)
			}
		}
	}
	r.Before, r.RetryFirst, r.RetryLast = percentile(before, 99), percentile(told, 50), percentile(told, 99)
	for end, list := range times {
		p := percentile(list, 99)
		r.Worst = max(r.Worst, p)
		if p > float64(burstTarget.Milliseconds()) {
			r.BackMS = max(r.BackMS, end.Milliseconds())
		}
	}
	return r
}

// check reads the history of every session and holds it against what was answered.
func (b *burst) check(ctx context.Context, r *burstResult) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opening)
	for i, s := range b.sessions {
		g.Go(func() error {
			done, err := completedTurns(ctx, s)
			if err != nil {
				return fmt.Errorf("read %s back: %w", s.ID(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range b.acked[i] {
				if done[id] == 0 {
					r.Lost++
				}
			}
			for _, n := range done {
				if n > 1 {
					r.Twice++
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// completedTurns counts how often the history has each turn completed.
func completedTurns(ctx context.Context, s *client.Session) (map[skein.TurnID]int, error) {
	done := map[skein.TurnID]int{}
	for after := skein.Seq(0); ; {
		events, next, err := s.History(ctx, after, historyPage)
		if err != nil {
			return nil, err
		}
		for i := range events {
			if events[i].Kind == "completed" {
				done[events[i].Turn]++
			}
		}
		if next == 0 {
			return done, nil
		}
		after = next
	}
}
