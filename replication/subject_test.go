package replication

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// spots writes what was found as "session seq, ...".
func spots(list []session.Said) string {
	var out []string
	for i := range list {
		out = append(out, fmt.Sprintf("%s %d", list[i].Event.Session, list[i].Event.Seq))
	}
	return strings.Join(out, ", ")
}

func wantSaid(t *testing.T, s *store, q search, want string) {
	t.Helper()
	f, err := s.search(q)
	if err != nil || spots(f.said) != want || f.more {
		t.Errorf("search: got %s (more %t), %v, want %s", spots(f.said), f.more, err, want)
	}
}

// pages asks page by page until the end; each page goes through the form that crosses the wire.
func pages(t *rapid.T, q search, ask func(search) found) []session.Said {
	var all []session.Said
	for n := 0; ; n++ {
		w, err := searchFromWire(searchToWire(q))
		if err != nil || w != q {
			t.Fatalf("search over the wire: got %+v, %v, want %+v", w, err, q)
		}
		f := foundFromWire(foundToWire(ask(w)))
		if len(f.said) > q.limit {
			t.Fatalf("a page of %d, want at most %d", len(f.said), q.limit)
		}
		all = append(all, f.said...)
		if !f.more {
			return all
		}
		if q.after, err = parseCursor(f.through.cursor()); err != nil || q.after != f.through {
			t.Fatalf("cursor of %+v: %+v, %v", f.through, q.after, err)
		}
		if n > 10_000 {
			t.Fatalf("no end behind %+v", f.through)
		}
	}
}

// TestSearchFindsWhatWasSaid compares with a plain list, over one group and over three, whatever is on the disk already.
func TestSearchFindsWhatWasSaid(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		subjects := []skein.Subject{"ada", "ad", "a\x00da", "bob"}
		stores := []*keptStore{newKeptStore(t), newKeptStore(t), newKeptStore(t)}
		states, all := map[skein.SessionID]*session.State{}, map[skein.SessionID][]session.Said{}
		at := func() time.Time {
			return time.UnixMilli(int64(rapid.IntRange(1, 50).Draw(r, "at")) * 1000).UTC()
		}
		for i := range rapid.IntRange(1, 120).Draw(r, "commands") {
			n := rapid.IntRange(0, 11).Draw(r, "session")
			k := stores[n%3]
			subject := subjects[n%4]
			cmd := session.Command{Session: sid(n), At: at()}
			switch st := states[sid(n)]; {
			case st == nil:
				cmd.Body = session.Open{Subject: subject, Home: "eu"}
			case st.Phase.Gone():
				continue
			case rapid.IntRange(0, 12).Draw(r, "end") == 0:
				cmd.Body = rapid.SampledFrom([]session.Body{session.Close{}, session.Erase{}}).Draw(r, "how")
			default:
				cmd.Expect = st.Seq
				cmd.Body = session.Accept{Turn: turnID(i + 1), Subject: subject, Text: "hi", Reply: &session.Reply{Text: "ho", Memory: []byte("m")}}
			}
			a, err := newAttempted([]session.Command{cmd})
			if err != nil {
				r.Fatal(err)
			}
			events, _ := session.Apply(states[cmd.Session], cmd, k.mark().now())
			states[cmd.Session] = k.apply(a.encoded...)[0].State
			for _, ev := range events {
				opened := cmd.At
				if list := all[cmd.Session]; len(list) > 0 {
					opened = list[0].Opened
				}
				all[cmd.Session] = append(all[cmd.Session], said(toMillis(opened), ev))
			}
			if states[cmd.Session].Phase.Gone() {
				delete(all, cmd.Session)
			}
			if rapid.IntRange(0, 5).Draw(r, "flush") == 0 {
				k.flushed()
			}
		}
		q := search{subject: rapid.SampledFrom(subjects).Draw(r, "subject"), from: math.MinInt64, to: math.MaxInt64, limit: rapid.IntRange(1, 9).Draw(r, "limit"), bytes: rapid.SampledFrom([]int{1, 3, maxHistoryByte}).Draw(r, "bytes")}
		if rapid.Bool().Draw(r, "bounded") {
			q.from = at().UnixMilli()
			q.to = q.from + 1000*int64(rapid.IntRange(1, 30).Draw(r, "span"))
		}
		for _, k := range stores {
			defer k.close()
		}
		want := func(groups ...int) string {
			var list []session.Said
			for n := range 12 {
				if subjects[n%4] != q.subject || !slices.Contains(groups, n%3) {
					continue
				}
				for _, x := range all[sid(n)] {
					if ms := toMillis(x.Event.At); ms >= q.from && ms < q.to && toMillis(x.Opened) < q.to {
						list = append(list, x)
					}
				}
			}
			slices.SortFunc(list, func(a, b session.Said) int { return spotOf(&a).compare(spotOf(&b)) })
			return spots(list)
		}
		look := func(k *keptStore, q search) found {
			f, err := k.search(q)
			if err != nil {
				r.Fatal(err)
			}
			return f
		}
		if got, want := spots(pages(r, q, func(q search) found { return look(stores[1], q) })), want(1); got != want {
			r.Fatalf("one group:\ngot  %s\nwant %s", got, want)
		}
		merged := pages(r, q, func(q search) found {
			return mergeFound([]found{look(stores[0], q), look(stores[1], q), look(stores[2], q)}, q.limit, q.bytes)
		})
		if got, want := spots(merged), want(0, 1, 2); got != want {
			r.Fatalf("three groups:\ngot  %s\nwant %s", got, want)
		}
	})
}

// TestSearchMeetsNoOthers: however many sessions were over before, or began later, a query between two times does not
// look at them.
func TestSearchMeetsNoOthers(t *testing.T) {
	k := newKeptStore(t)
	const sessions = 3000
	for n := range sessions {
		cmd := openCmd(n)
		cmd.At = time.Unix(int64(n)*100, 0)
		k.must(cmd)
	}
	long := sayCmd(7, 1, 1) // one that goes on for long
	long.At = time.Unix(150_030, 0)
	k.must(long)
	k.flushed()
	q := search{subject: "ada", from: 150_000_000, to: 150_150_000, limit: 10, bytes: 1000}
	wantSaid(t, k.store, q, "eu~s7 2, eu~s7 3, eu~s1500 1, eu~s1501 1")
	f := finder{search: q}
	err := k.view(func(tx *bolt.Tx) error { f.tx = tx; return f.run() })
	if err != nil || f.visits > 6 {
		t.Errorf("visited %d sessions, %v, want a few", f.visits, err)
	}
}

func TestSpanClass(t *testing.T) {
	for _, tt := range []struct {
		span int64
		want byte
	}{{-5, 0}, {0, 0}, {1, 0}, {1000, 0}, {1001, 1}, {2000, 1}, {2001, 2}, {4000, 2}, {1 << 62, spanClasses - 1}} {
		got := spanClass(1000, 1000+tt.span)
		if got != tt.want || got < spanClasses-1 && tt.span > spanOf(got) {
			t.Errorf("span %d: class %d, want %d", tt.span, got, tt.want)
		}
	}
}

// TestSearchIsBounded: a page ends when it has looked at enough, and the next goes on there. Every session here was
// opened before the time that is asked for and used after it.
func TestSearchIsBounded(t *testing.T) {
	const sessions = 2*maxVisits + 10
	k := newKeptStore(t)
	for n := range sessions {
		cmd, say := openCmd(n), sayCmd(n, 1, 1)
		cmd.At, say.At = time.UnixMilli(int64(n)*100), time.Unix(5000, 0)
		if n == sessions-1 {
			say.At = time.Unix(4200, 0)
		}
		k.must(cmd, say)
		if n%1000 == 0 {
			k.flushed() // nobody else makes room
		}
	}
	k.flushed()
	q := search{subject: "ada", from: 4_000_000, to: 4_500_000, limit: 10, bytes: 1000}
	for range 2 {
		f, err := k.search(q)
		if err != nil || len(f.said) > 0 || !f.more {
			t.Fatalf("a page of a search that finds nothing yet: %d, more %t, %v", len(f.said), f.more, err)
		}
		q.after = f.through
	}
	wantSaid(t, k.store, q, fmt.Sprintf("%s 2, %s 3", sid(sessions-1), sid(sessions-1)))
}

// TestSearchSkipsOtherTimes: of a long session only the part of its index that fits is read event by event.
func TestSearchSkipsOtherTimes(t *testing.T) {
	k := newKeptStore(t)
	opened := openCmd(1)
	opened.At = time.Unix(1, 0)
	k.must(opened)
	for n := 1; n <= 400; n++ {
		cmd := sayCmd(1, n, skein.Seq(2*n-1))
		cmd.At = time.Unix(int64(n), 0)
		k.must(cmd)
	}
	k.flushed()
	wantSaid(t, k.store, search{subject: "ada", from: 300_000, to: 301_000, limit: 10, bytes: 1000}, "eu~s1 600, eu~s1 601")
	wantSaid(t, k.store, search{subject: "ada", from: 300_000, to: 301_000, limit: 10, bytes: 1000, after: spot{1000, sid(1), 601}}, "")
	wantSaid(t, k.store, search{subject: "ada", from: 300_000, to: 301_000, limit: 10, bytes: 1000, after: spot{1000, sid(1), 600}}, "eu~s1 601")
}

// A session that an earlier page has told to its end is not looked through again: a long one would use up the page, which would
// end where it began.
func TestSearchGoesOnBehindALongSession(t *testing.T) {
	k := newKeptStore(t)
	opened := openCmd(1)
	opened.At = time.Unix(1, 0)
	k.must(opened)
	for n := 1; n <= 40; n++ {
		k.must(sayCmd(1, n, skein.Seq(2*n-1)))
	}
	k.flushed()
	told := spot{1000, sid(1), math.MaxUint64}
	f := finder{search: search{subject: "ada", from: math.MinInt64, to: math.MaxInt64, limit: 10, bytes: 1000, after: told}, chunks: maxChunks - 1}
	if err := k.view(func(tx *bolt.Tx) error { f.tx = tx; return f.run() }); err != nil || f.more || len(f.said) > 0 {
		t.Errorf("behind the only session: %d events, more %t up to %+v, %v", len(f.said), f.more, f.through, err)
	}
}

func TestQueryRefusesNonsense(t *testing.T) {
	now := time.Now()
	for name, q := range map[string]session.Query{
		"no subject": {Limit: 1}, "no limit": {Subject: "ada"}, "large limit": {Subject: "ada", Limit: maxHistory + 1},
		"from behind to": {Subject: "ada", Limit: 1, From: now, To: now}, "cursor": {Subject: "ada", Limit: 1, After: "zzz"},
		"long subject": {Subject: skein.Subject(strings.Repeat("x", 256)), Limit: 1},
	} {
		if _, err := searchOf(q); skein.CodeOf(err) != skein.CodeMalformed {
			t.Errorf("%s: got %v, want malformed", name, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(spot{1000, "eu~s1", 7}.cursor())
	f.Add("")
	f.Add("AQ")
	f.Add("AQEBZXV-czE=")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseCursor(s)
		if err != nil {
			if skein.CodeOf(err) != skein.CodeMalformed {
				t.Errorf("%q: %v, want malformed", s, err)
			}
			return
		}
		if again, err := parseCursor(p.cursor()); err != nil || again != p || p.opened < 0 {
			t.Errorf("%q: %+v, again %+v, %v", s, p, again, err)
		}
	})
}

// A page of sessions is full while there are more, also when the disk still has some that are gone.
func TestListIsFullBesideTheGone(t *testing.T) {
	k := newKeptStore(t)
	for n := range 5 {
		k.must(openCmd(n))
	}
	k.flushed()
	for n := range 2 {
		k.must(session.Command{Session: sid(n), Body: session.Erase{}})
	}
	list, err := k.list("", 3)
	if err != nil || len(list) != 3 || list[0].ID != sid(2) {
		t.Errorf("got %d sessions, %v, want 3 from %s on", len(list), err, sid(2))
	}
}
