package replication

import (
	"math"
	"testing"
	"time"

	"github.com/skein-mesh/skein/session"
)

// TestErasedIsNobodys: a session that was erased is no longer listed with its subject while the disk has it still, or else it is erased
// again and again until the flush; one that was purged is, behind all others. A page that meets only such ones is empty and not the last.
func TestErasedIsNobodys(t *testing.T) {
	const sessions = maxVisits + 10
	k := newKeptStore(t)
	for n := range sessions {
		k.must(openCmd(n))
	}
	late := openCmd(sessions)
	late.At = time.Unix(2000, 0)
	k.must(late)
	k.flushed()
	for _, n := range []int{5, 6} {
		k.must(session.Command{Session: sid(n), Body: session.Close{Reason: "client"}}, session.Command{Session: sid(n), Expect: 2, Body: session.Purge{}})
	}
	k.flushed()
	for n := range sessions {
		if n != 5 && n != 6 {
			k.must(session.Command{Session: sid(n), Body: session.Erase{}})
		}
	}
	q := search{subject: "ada", from: math.MinInt64, to: math.MaxInt64, limit: 10, bytes: 1000, sessions: true}
	first, err := k.search(q)
	if err != nil || len(first.said) > 0 || !first.more {
		t.Fatalf("a page of erased sessions: %s (more %t), %v", spots(first.said), first.more, err)
	}
	var rest []session.Said
	for f := first; f.more && err == nil; {
		if q.after, err = parseCursor(f.through.cursor()); err == nil {
			q.limit = 1
			f, err = k.search(q)
			rest = append(rest, f.said...)
		}
	}
	if err != nil || len(rest) != 3 || rest[0].Event.Session != sid(sessions) || rest[1].Event.Session != sid(5) || rest[2].Event.Session != sid(6) {
		t.Errorf("the rest: %s, %v, want the open one and the purged ones", spots(rest), err)
	}
	k.must(session.Command{Session: sid(5), Body: session.Erase{}}, session.Command{Session: sid(6), Body: session.Erase{}})
	wantSaid(t, k.store, q, "")
}
