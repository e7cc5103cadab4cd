package replication

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

func firstRun(turn int) session.Run {
	return session.Run{Turn: turnID(turn), Attempt: 1}
}

func failCmd(n, turn int) session.Command {
	return session.Command{Session: sid(n), At: time.Unix(1002, 0), Body: session.Fail{Run: firstRun(turn), Reason: "no model", Final: true}}
}

func retryCmd(n, turn int) session.Command {
	return session.Command{Session: sid(n), Body: session.Retry{Run: firstRun(turn)}}
}

func dropCmd(n, turn int) session.Command {
	return session.Command{Session: sid(n), Body: session.Drop{Run: firstRun(turn)}}
}

// dieCmds open session n, whose turns 1 to k then die one after the other.
func dieCmds(n, k int) []session.Command {
	cmds := []session.Command{openCmd(n)}
	for turn := 1; turn <= k; turn++ {
		cmds = append(cmds, askCmd(n, turn), failCmd(n, turn))
	}
	return cmds
}

// walk lists all dead letters page by page, a bar between two pages.
func walk(t *testing.T, s *store, limit int) string {
	t.Helper()
	var out []string
	after := skein.SessionID("")
	for range 100 {
		page, next, err := s.deadLetters(after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range page {
			names = append(names, fmt.Sprintf("%s/%d", strings.TrimPrefix(string(l.Session), "eu~"), l.Turn.Counter))
		}
		out = append(out, strings.Join(names, " "))
		if next == "" {
			return strings.Join(out, "|")
		}
		if next <= after {
			t.Fatalf("the page after %q leads to %q", after, next)
		}
		after = next
	}
	t.Fatal("the list has no end")
	return ""
}

func wantLetters(t *testing.T, what string, s *store, want string, count int) {
	t.Helper()
	if got := strings.Join(strings.Fields(strings.ReplaceAll(walk(t, s, 2), "|", " ")), " "); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
	if got := s.letterCount(); got != count {
		t.Errorf("%s: counted %d, want %d", what, got, count)
	}
}

// The list is the same whether the changes are in memory, on the disk, or half and half.
func TestLettersAcrossDiskAndOverlay(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	index := uint64(0)
	apply := func(cmds ...session.Command) {
		index++
		m.ApplyBatch([]*raft.Log{entryOf(t, index, cmds...)})
	}
	flush := func() {
		t.Helper()
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 5; n++ {
		apply(dieCmds(n, 1)...)
	}
	apply(openCmd(6), sayCmd(6, 1, 1))
	wantLetters(t, "in memory", s, "s1/1 s2/1 s3/1 s4/1 s5/1", 5)
	flush()
	wantLetters(t, "on disk", s, "s1/1 s2/1 s3/1 s4/1 s5/1", 5)

	apply(retryCmd(1, 1))
	apply(retryCmd(1, 1)) // known: counts once
	apply(dropCmd(2, 1), askCmd(2, 2), failCmd(2, 2))
	apply(dropCmd(3, 1))
	apply(dieCmds(0, 3)...)
	want := "s0/1 s0/2 s0/3 s2/2 s4/1 s5/1"
	wantLetters(t, "half and half", s, want, 6)
	if got, want := walk(t, s, 2), "s0/1 s0/2 s0/3|s2/2 s4/1|s5/1"; got != want {
		t.Errorf("pages of two: got %q, want %q", got, want)
	}
	flush()
	wantLetters(t, "on disk again", s, want, 6)

	// Newer turns push a dead one out of the session: nobody could retry it.
	for turn := 2; turn <= 9; turn++ {
		apply(askCmd(5, turn), session.Command{Session: sid(5), Body: session.Complete{Run: firstRun(turn), Reply: session.Reply{Text: "a"}}})
	}
	wantLetters(t, "pushed out", s, "s0/1 s0/2 s0/3 s2/2 s4/1", 5)
	if n := s.openCount(); n != 1 {
		t.Errorf("open turns: got %d, want that of the retry", n)
	}
}

// Whatever is in memory and on the disk, the pages together are what a look at every session gives.
func TestLettersListIsComplete(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s, err := openStore(t.TempDir(), func(err error) { t.Error(err) })
		if err != nil {
			r.Fatal(err)
		}
		defer s.close()
		m := machineOn(t, s)
		var index uint64
		apply := func(cmds ...session.Command) {
			index++
			m.ApplyBatch([]*raft.Log{entryOf(t, index, cmds...)})
		}
		for n := range 8 {
			apply(dieCmds(n, rapid.IntRange(0, 3).Draw(r, "deaths"))...)
		}
		for range rapid.IntRange(0, 20).Draw(r, "steps") {
			n, turn := rapid.IntRange(0, 9).Draw(r, "session"), rapid.IntRange(1, 4).Draw(r, "turn")
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				if err := s.flush(); err != nil {
					r.Fatal(err)
				}
			case 1:
				apply(openCmd(n), askCmd(n, turn), failCmd(n, turn))
			case 2:
				apply(retryCmd(n, turn))
			default:
				apply(dropCmd(n, turn))
			}
		}
		var want []string
		states, err := s.list("", maxSessions)
		if err != nil {
			r.Fatal(err)
		}
		for _, st := range states {
			for _, l := range appendLetters(nil, st) {
				want = append(want, fmt.Sprintf("%s/%d", strings.TrimPrefix(string(l.Session), "eu~"), l.Turn.Counter))
			}
		}
		wantLetters(t, "pages", s, strings.Join(want, " "), len(want))
	})
}

func TestLettersSurviveRestartAndSnapshot(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	logs := []*raft.Log{entryOf(t, 1, dieCmds(1, 2)...), entryOf(t, 2, dieCmds(2, 1)...), entryOf(t, 3, dropCmd(1, 1)), entryOf(t, 4, retryCmd(2, 1))}
	m.ApplyBatch(logs[:2])
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	m.ApplyBatch(logs[2:])
	wantLetters(t, "before", s, "s1/2", 1)
	if err := s.close(); err != nil { // what was not flushed is lost
		t.Fatal(err)
	}
	again, err := openStore(s.dir, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	wantLetters(t, "restarted", again, "s1/1 s1/2 s2/1", 3)
	machineOn(t, again).ApplyBatch(logs)
	wantLetters(t, "replayed", again, "s1/2", 1)
	defer again.close()
	if err := again.flush(); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := again.writeSnapshot(&buf); err != nil {
		t.Fatal(err)
	}
	other := memoryStore(t)
	machineOn(t, other).ApplyBatch([]*raft.Log{entryOf(t, 1, dieCmds(9, 1)...)})
	if err := other.restore(&buf); err != nil {
		t.Fatal(err)
	}
	wantLetters(t, "restored", other, "s1/2", 1)
}

func TestDeadLettersOfAGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		lead := c.leader()
		c.propose(lead, dieCmds(1, 1)...)
		c.propose(c.nodes["d1"], dieCmds(2, 1)...)
		list := func(m *member) string {
			page, next, err := m.DeadLetters("", 10)
			if err != nil || next != "" {
				t.Fatalf("list of %s: next %q, %v", m.cfg.Node, next, err)
			}
			return fmt.Sprint(page)
		}
		died := time.Unix(1002, 0).UTC()
		want := fmt.Sprint([]DeadLetter{{
			Session: sid(1), Subject: "ada", Turn: turnID(1), Attempt: 1, Text: "question 1", Reason: "no model", Fails: 1,
			Place: skein.Place{Node: "a1", Region: "eu", Zone: "a"}, At: time.Unix(1001, 0).UTC(), DiedAt: died, Last: true,
		}})
		if got := c.propose(c.nodes["d1"], dropCmd(2, 1))[0]; got.Duplicate || !got.State.Turns[0].Dropped {
			t.Errorf("drop: got %+v", got)
		}
		c.converged()
		for _, node := range c.voters {
			m := c.nodes[node]
			if got := list(m); got != want || m.Status().DeadLetters != 1 {
				t.Errorf("%s lists %s and counts %d, want %s", node, got, m.Status().DeadLetters, want)
			}
		}
		if _, _, err := lead.DeadLetters("", 0); skein.CodeOf(err) != skein.CodeMalformed {
			t.Errorf("no limit: got %v, want malformed", err)
		}
		c.stopNode("b1")
		c.start("b1")
		c.propose(c.nodes["d1"], retryCmd(1, 1))
		c.until("the retried turn on the restarted node", 5*time.Second, func() bool {
			open := c.nodes["b1"].OpenTurns()
			return len(open) == 1 && open[0].Turn.Lapsed(c.nodes["b1"].Clock())
		})
		if got := list(c.nodes["b1"]); got != "[]" {
			t.Errorf("after the retry: got %s", got)
		}
	})
}
