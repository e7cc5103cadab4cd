package replication

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

var benchSessions = flag.Int("sessions", 20_000, "sessions of BenchmarkSearch")

// BenchmarkSearch reads windows of a second out of a store of many sessions, all of one subject, and reports the 99th percentile
// of a page of 100 events. One session in a hundred goes on for hours.
func BenchmarkSearch(b *testing.B) {
	k := newKeptStore(b)
	n := *benchSessions
	at := func(i int) time.Time { return time.UnixMilli(1_700_000_000_000 + int64(i)*10).UTC() }
	for i := 0; i < n; i += 100 {
		var commands []session.Command
		for j := i; j < min(i+100, n); j++ {
			open, say := openCmd(j), sayCmd(j, 1, 1)
			open.At, say.At = at(j), at(j).Add(20*time.Millisecond)
			if j%100 == 0 {
				say.At = at(j).Add(time.Duration(j%7) * time.Hour)
			}
			commands = append(commands, open, say)
		}
		k.must(commands...)
		if i%20_000 == 0 {
			k.flushed()
		}
	}
	k.flushed()
	rnd := rand.New(rand.NewPCG(1, 2))
	var took []time.Duration
	events := 0
	b.ResetTimer()
	for range b.N {
		from := at(rnd.IntN(n)).UnixMilli()
		q := search{subject: "ada", from: from, to: from + 1000, limit: 100, bytes: maxHistoryByte}
		for more := true; more; {
			began := time.Now()
			f, err := k.search(q)
			took = append(took, time.Since(began))
			if err != nil {
				b.Fatal(err)
			}
			events += len(f.said)
			q.after, more = f.through, f.more
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(events)/float64(len(took)), "events/page")
	if took[0] < 0 || events == 0 {
		b.Fatal(fmt.Sprint("found nothing of ", skein.Subject("ada")))
	}
}
