package replication

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// TestMonthsOfRetention: sessions close when they were idle for 30 days and are purged 90 days later, whenever they were last
// used and whatever a clock says meanwhile.
func TestMonthsOfRetention(t *testing.T) {
	const sessions, days = 60, 24 * time.Hour
	k := newKeptStore(t)
	for n := range sessions {
		k.must(openCmd(n), sayCmd(n, 1, 1))
		k.tick(time.Hour)
	}
	k.flushed()
	k.must(sayCmd(0, 2, 3)) // the first one is in use again after days
	s := sweep{store: k.store, rules: Retention{CloseAfter: 30 * days, Keep: 90 * days}, propose: k.propose}
	begun := k.wall
	closed, purged := map[skein.SessionID]time.Duration{}, map[skein.SessionID]time.Duration{}
	for hour := range 24 * 140 {
		if hour == 24*20 {
			k.calendar(k.wall.Add(3650*days), time.Minute) // a clock is ten years ahead for a minute
		}
		k.tick(time.Hour)
		for busy := true; busy; {
			var err error
			if busy, err = s.step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if hour%24 == 0 {
			k.flushed()
		}
		for n := range sessions {
			id := sid(n)
			st, err := k.get(id)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := closed[id]; !ok && st.Phase == session.PhaseClosed {
				closed[id] = k.wall.Sub(begun)
			}
			if _, ok := purged[id]; !ok && st.Phase == session.PhasePurged {
				purged[id] = k.wall.Sub(begun)
			}
		}
	}
	for n := range sessions {
		used := time.Duration(n-sessions) * time.Hour
		if n == 0 {
			used = 0
		}
		if got, want := closed[sid(n)]-used, 30*days; got < want || got > want+2*time.Hour {
			t.Fatalf("session %d was closed %v after its last turn, want %v", n, got, want)
		}
		if got, want := purged[sid(n)]-closed[sid(n)], 90*days; got < want-time.Hour || got > want+2*time.Hour {
			t.Fatalf("session %d was purged %v after its close, want %v", n, got, want)
		}
	}
	k.flushed()
	got := k.records()
	if want := map[string]int{"gone": sessions, "events": sessions, "subjects": sessions}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("left in the file: %v, want %v", got, want)
	}
	if at := k.mark(); at.sessions != 0 || at.closed != 0 || at.purged != sessions || at.erased != 0 {
		t.Errorf("counts: %+v", at)
	}
}

// TestArchiveComesFirst: with an archive nothing is purged before it has the session, and one that it cannot have holds up nobody.
func TestArchiveComesFirst(t *testing.T) {
	const sessions = 3 * sweepBatch
	k := newKeptStore(t)
	for n := range sessions {
		k.must(openCmd(n), session.Command{Session: sid(n), Body: session.Close{Reason: "client"}})
	}
	k.flushed()
	k.tick(100 * 24 * time.Hour)
	s := sweep{store: k.store, rules: Retention{Keep: 90 * 24 * time.Hour, Archived: true}, propose: k.propose}
	if _, err := s.step(t.Context()); err != nil || k.mark().purged != 0 {
		t.Fatalf("purged %d before the archive has them, %v", k.mark().purged, err)
	}
	g := &Group{disk: &disk{store: k.store}}
	seen, pages := map[skein.SessionID]bool{}, 0
	for after := ""; ; {
		page, next, err := g.Unarchived(24*time.Hour, after)
		if err != nil || len(page) > sweepBatch {
			t.Fatalf("page of %d, %v", len(page), err)
		}
		for _, d := range page {
			if seen[d.Session] || d.Subject != "ada" || d.Seq != 2 {
				t.Fatalf("page %d: %+v", pages, d)
			}
			seen[d.Session] = true
			if d.Session != sid(7) { // the archive refuses this one
				k.must(session.Command{Session: d.Session, Expect: d.Seq, Body: session.Archive{}})
			}
		}
		k.flushed()
		if pages++; next == "" {
			break
		}
		after = next
	}
	if len(seen) != sessions {
		t.Errorf("%d sessions were listed, want %d", len(seen), sessions)
	}
	for busy := true; busy; {
		var err error
		if busy, err = s.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.mark().purged; got != sessions-1 {
		t.Errorf("purged %d, want %d", got, sessions-1)
	}
	if page, _, err := g.Unarchived(0, ""); err != nil || len(page) != 1 || page[0].Session != sid(7) {
		t.Errorf("left: %+v, %v", page, err)
	}
}

// TestErasedIsNowhere: no text and no name of an erased session is left in memory that answers or in the records of the file.
func TestErasedIsNowhere(t *testing.T) {
	for _, flushes := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(flushes, " flushes"), func(t *testing.T) {
			k := newKeptStore(t)
			k.must(openCmd(1), sayCmd(1, 1, 1), openCmd(2))
			for n := uint64(2); n < 40; n++ { // enough for an index
				k.must(sayCmd(1, int(n), skein.Seq(2*n-1)))
			}
			if flushes > 0 {
				k.flushed()
			}
			k.must(askCmd(1, 77))
			if flushes > 1 {
				k.flushed()
			}
			k.must(session.Command{Session: sid(1), Body: session.Erase{}})
			if events, err := k.history(sid(1), 0, 100); err != nil || len(events) > 0 {
				t.Errorf("history before the flush: %d events, %v", len(events), err)
			}
			wantSaid(t, k.store, search{subject: "ada", to: 1 << 60, limit: 10, bytes: 1000}, "eu~s2 1")
			k.flushed()
			wantSaid(t, k.store, search{subject: "ada", to: 1 << 60, limit: 10, bytes: 1000}, "eu~s2 1")
			err := k.view(func(tx *bolt.Tx) error {
				return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
					return b.ForEach(func(key, v []byte) error {
						record := string(key) + string(v)
						if strings.Contains(record, "question") || strings.Contains(record, "answer") ||
							strings.Contains(record, string(sid(1))) && strings.Contains(record, "ada") {
							t.Errorf("%s: %q", name, record)
						}
						return nil
					})
				})
			})
			if err != nil {
				t.Error(err)
			}
			st, err := k.get(sid(1))
			if err != nil || st.Phase != session.PhaseErased || k.openCount() != 0 {
				t.Errorf("state: %+v, %v; %d open", st, err, k.openCount())
			}
			if at := k.mark(); at.sessions != 1 || at.erased != 1 {
				t.Errorf("counts: %+v", at)
			}
		})
	}
}

// TestFileOfShortLivesStaysLevel: sessions that come and go leave their location and nothing else.
func TestFileOfShortLivesStaysLevel(t *testing.T) {
	const cycles, sessions = 40, 100
	k := newKeptStore(t)
	used := func() int {
		stats := k.db.Stats()
		pages := 0
		err := k.view(func(tx *bolt.Tx) error { pages = int(tx.Size()) / k.db.Info().PageSize; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return pages - stats.FreePageN - stats.PendingPageN
	}
	text := strings.Repeat("a long question ", 60)
	early := 0
	for cycle := range cycles {
		for n := range sessions {
			n += cycle * sessions
			say := sayCmd(n, 1, 1)
			a := say.Body.(session.Accept)
			a.Text = text
			say.Body = a
			k.must(openCmd(n), say, session.Command{Session: sid(n), Body: session.Close{}})
		}
		k.flushed()
		k.tick(time.Hour)
		s := sweep{store: k.store, rules: Retention{Keep: time.Minute}, propose: k.propose}
		for busy := true; busy; {
			var err error
			if busy, err = s.step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		k.flushed()
		k.flushed()
		if cycle == 1 {
			early = used()
		}
	}
	if got := k.mark().purged; got != cycles*sessions {
		t.Fatalf("purged %d, want %d", got, cycles*sessions)
	}
	// A location takes two records and its event, less than 400 bytes of pages that are half full; the texts were 1,000 each.
	grown := (used() - early) * k.db.Info().PageSize / ((cycles - 2) * sessions)
	if grown > 500 {
		t.Errorf("each session has left %d bytes", grown)
	}
	t.Logf("each session has left %d bytes", grown)
}

// TestLeaderKilledInMidPurge: the successor goes on, each session is purged once, and the replicas are equal.
func TestLeaderKilledInMidPurge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const sessions = 5 * sweepBatch
		c := newCluster(t, "a1", "b1", "c1")
		c.tune = func(cfg *Config) {
			cfg.Timing.Calendar = time.Second
			cfg.Retention = Retention{CloseAfter: 20 * time.Second, Keep: 20 * time.Second}
		}
		defer c.stopAll()
		c.start("a1", "b1", "c1")
		lead := c.leader()
		for n := 0; n < sessions; n += 64 {
			var commands []session.Command
			for i := range 64 {
				commands = append(commands, openCmd(n+i), sayCmd(n+i, 1, 1))
			}
			c.propose(lead, commands...)
		}
		c.until("the first purges", 2*time.Minute, func() bool { return lead.Status().Purged > 0 })
		if n := lead.Status().Purged; n >= sessions {
			t.Fatalf("all %d are purged already", n)
		}
		c.kill(lead.cfg.Node)
		next := c.leader()
		c.until("the other purges", 3*time.Minute, func() bool { return next.Status().Purged >= sessions })
		c.start(lead.cfg.Node)
		c.until("the old leader again", time.Minute, func() bool { return c.nodes[lead.cfg.Node].Status().Purged == next.Status().Purged })
		c.converged()
		for n := range sessions {
			st, err := next.Read(t.Context(), sid(n), 0)
			if err != nil || st.Phase != session.PhasePurged || st.Seq != 5 {
				t.Fatalf("session %d: %+v, %v", n, st, err)
			}
			if _, err := next.History(t.Context(), sid(n), 0, 1); !errors.Is(err, skein.ErrSessionGone) {
				t.Fatalf("history of session %d: %v, want session_gone", n, err)
			}
		}
		if at := next.Calendar(); at.Before(time.Now().Add(-5*time.Second)) || at.After(time.Now()) {
			t.Errorf("calendar %v at %v", at, time.Now())
		}
	})
}
