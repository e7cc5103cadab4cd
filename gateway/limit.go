package gateway

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/skein-mesh/skein"
)

// limitedSubjects is how many subjects are told apart; the one seen longest ago starts afresh.
const limitedSubjects = 8192

// limiter is a token bucket for each subject; nil limits nothing.
type limiter struct {
	what  string // is limited: "turns"
	every rate.Limit
	burst int
	seen  *lru.Cache[skein.Subject, *rate.Limiter]
}

func newLimiter(what string, l Limits) (*limiter, error) {
	if l.TurnsPerSecond == 0 {
		return nil, nil
	}
	seen, err := lru.New[skein.Subject, *rate.Limiter](limitedSubjects)
	if err != nil {
		return nil, err
	}
	return &limiter{what: what, every: rate.Limit(l.TurnsPerSecond), burst: l.Burst, seen: seen}, nil
}

// allow takes one turn or open of the subject, or says when there is one.
func (l *limiter) allow(s skein.Subject, now time.Time) error {
	if l == nil {
		return nil
	}
	bucket, ok := l.seen.Get(s)
	if !ok {
		bucket = rate.NewLimiter(l.every, l.burst)
		if prev, found, _ := l.seen.PeekOrAdd(s, bucket); found {
			bucket = prev
		}
	}
	r := bucket.ReserveN(now, 1)
	if d := r.DelayFrom(now); d > 0 {
		r.CancelAt(now)
		err := skein.Fault(skein.CodeRateLimited, "more than %g %s a second", float64(l.every), l.what)
		err.RetryAfter = max(d.Round(time.Millisecond), time.Millisecond)
		return err
	}
	return nil
}
