package histories

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// call is a step of a history in a test: from and to are instants; to 0 is an outcome that nobody knows.
type call struct {
	from, to int64
	in       Input
	out      Output
}

func put(record string, expect int) Input {
	return Input{Kind: Append, Session: "s", Record: record, Reply: "re " + record, Expect: expect}
}

func done(record string, count int) Output { return Output{Reply: "re " + record, Count: count} }

func entries(records ...string) (all []Entry) {
	for _, r := range records {
		all = append(all, Entry{r, "re " + r})
	}
	return all
}

func seen(records ...string) Output { return Output{Count: len(records), Tail: entries(records...)} }

var (
	unknown = Output{Unknown: true}
	read    = Input{Kind: Read, Session: "s"}
)

func look(n int) Input { return Input{Kind: Look, Session: "s", AtLeast: n} }

func TestCheck(t *testing.T) {
	again := put("a", -1)
	again.Reply = "another"
	for _, tt := range []struct {
		name  string
		calls []call
		final []Entry
		want  string // "" for a history that holds
	}{
		{"in order", []call{{1, 2, put("a", 0), done("a", 1)}, {3, 4, put("b", 1), done("b", 2)}, {5, 6, read, seen("a", "b")}}, entries("a", "b"), ""},
		{"a race that one loses", []call{{1, 4, put("a", 0), done("a", 1)}, {2, 3, put("b", 0), Output{Conflict: true, Count: 1}}}, entries("a"), ""},
		{"unknown, and there", []call{{1, 0, put("a", 0), unknown}, {5, 6, read, seen("a")}}, entries("a"), ""},
		{"unknown, and not there", []call{{1, 0, put("a", 0), unknown}, {5, 6, read, seen()}}, nil, ""},
		{"unknown, and later", []call{{1, 0, put("a", 0), unknown}, {5, 6, read, seen()}, {7, 8, read, seen("a")}}, entries("a"), ""},
		{"unknown, then a retry", []call{{1, 0, put("a", 0), unknown}, {5, 6, again, Output{Repeat: true, Reply: "re a", Count: 1}}}, entries("a"), ""},
		{"unknown and void, then a retry", []call{{1, 0, put("a", 0), unknown}, {5, 6, again, Output{Reply: "another", Count: 1}}}, []Entry{{"a", "another"}}, ""},
		{"a look at the past", []call{{1, 2, put("a", 0), done("a", 1)}, {3, 4, put("b", 1), done("b", 2)}, {5, 6, look(1), seen("a")}}, entries("a", "b"), ""},

		{"lost", []call{{1, 2, put("a", 0), done("a", 1)}, {3, 4, read, seen()}}, nil, "lost: a"},
		{"lost in the end", []call{{1, 2, put("a", 0), done("a", 1)}}, nil, "lost: a"},
		{"lost under another", []call{{1, 2, put("a", 0), done("a", 1)}, {3, 4, put("b", 0), done("b", 1)}}, entries("b"), "lost: a"},
		{"twice", []call{{1, 0, put("a", -1), unknown}, {3, 4, put("a", -1), Output{Reply: "re a", Count: 2}}}, entries("a", "a"), "2 times"},
		{"twice, as a read tells", []call{{1, 2, put("a", -1), done("a", 1)}, {3, 4, read, seen("a", "a")}}, entries("a"), "not linearizable"},
		{"never sent", []call{{1, 2, put("a", -1), done("a", 1)}}, entries("a", "x"), "never sent"},
		{"stale", []call{{1, 2, put("a", 0), done("a", 1)}, {3, 4, put("b", 1), done("b", 2)}, {5, 6, read, seen("a")}}, entries("a", "b"), "not linearizable"},
		{"behind what it names", []call{{1, 2, put("a", 0), done("a", 1)}, {5, 6, look(1), seen()}}, entries("a"), "not linearizable"},
		{"ahead of what is there", []call{{1, 2, look(0), seen("a")}, {5, 6, put("a", 0), done("a", 1)}}, entries("a"), "not linearizable"},
		{"another order", []call{{1, 2, put("a", 0), done("a", 1)}, {3, 4, put("b", 1), done("b", 2)}, {5, 6, look(2), seen("b", "a")}}, entries("a", "b"), "not linearizable"},
		{"there, gone, there", []call{{1, 0, put("a", 0), unknown}, {5, 6, read, seen("a")}, {7, 8, read, seen()}, {9, 10, read, seen("a")}}, entries("a"), "not linearizable"},
		{"a retry with another reply", []call{{1, 2, put("a", 0), done("a", 1)}, {5, 6, again, Output{Repeat: true, Reply: "another", Count: 1}}}, entries("a"), "not linearizable"},
		{"a repeat that is called new", []call{{1, 2, put("a", 0), done("a", 1)}, {5, 6, put("a", -1), done("a", 1)}}, entries("a"), "not linearizable"},
		{"a conflict without a reason", []call{{1, 2, put("a", 0), Output{Conflict: true, Count: 0}}}, nil, "not linearizable"},
		{"two winners", []call{{1, 4, put("a", 0), done("a", 1)}, {2, 3, put("b", 0), done("b", 1)}}, entries("a", "b"), "not linearizable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ops []porcupine.Operation
			for i, c := range tt.calls {
				if c.to == 0 {
					c.to = math.MaxInt64
				}
				ops = append(ops, porcupine.Operation{ClientId: i, Input: c.in, Output: c.out, Call: c.from, Return: c.to})
			}
			err := Check(ops, "", map[string][]Entry{"s": tt.final})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPictureOfARefusedHistory(t *testing.T) {
	var r Recorder
	r.Do(0, put("a", 0), func() Output { return done("a", 1) })
	r.Do(1, read, func() Output { return seen() })
	r.Do(1, read, func() Output { return unknown }) // says nothing
	if r.Len() != 2 {
		t.Errorf("recorded: got %d calls, want 2", r.Len())
	}
	path := filepath.Join(t.TempDir(), "history.html")
	if err := Check(r.Operations(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want it to name the picture", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("picture: %v, %v", info, err)
	}
	if err := Check(r.Operations(), filepath.Join(t.TempDir(), "no", "such")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}

// TestSessionsAreJudgedApart: what is lost in one session is not excused by another.
func TestSessionsAreJudgedApart(t *testing.T) {
	var r Recorder
	for _, id := range []string{"x", "y"} {
		in := put("a", 0)
		in.Session = id
		r.Do(0, in, func() Output { return done("a", 1) })
	}
	final := map[string][]Entry{"x": entries("a"), "y": entries("a")}
	if err := Check(r.Operations(), "", final); err != nil {
		t.Errorf("two sessions with equal records: %v", err)
	}
	final["y"] = nil
	if err := Check(r.Operations(), "", final); err == nil {
		t.Error("y lost its record and nobody noticed")
	}
}

// TestARepeatShowsALaterState: the node that is asked proposes again on its own, and others come between.
func TestARepeatShowsALaterState(t *testing.T) {
	var r Recorder
	r.Do(0, put("a", 0), func() Output {
		r.Do(1, put("b", 1), func() Output { return done("b", 2) })
		return Output{Repeat: true, Reply: "re a", Count: 2, Tail: entries("a", "b")}
	})
	if err := Check(r.Operations(), ""); err != nil {
		t.Error(err)
	}
	r.Do(0, put("d", 2), func() Output { return Output{Repeat: true, Reply: Expired, Count: 3, Tail: entries("d")} })
	if err := Check(r.Operations(), ""); err != nil {
		t.Errorf("a repeat whose reply is no longer kept: %v", err)
	}
	r.Do(0, put("c", 3), func() Output { return Output{Repeat: true, Reply: "re c", Count: 3, Tail: entries("a", "b", "d")} })
	if err := Check(r.Operations(), ""); err == nil {
		t.Error("a repeat that does not show what it repeats is accepted")
	}
}

// TestUnknownOutcomesAreNarrowed: many appends without an answer, each sent again, are judged at once; one that was lost
// among them is found.
func TestUnknownOutcomesAreNarrowed(t *testing.T) {
	for _, lost := range []bool{false, true} {
		var r Recorder
		var all []string
		for i := range 200 {
			record := fmt.Sprint("r", i)
			for range 3 {
				r.Do(i, put(record, -1), func() Output { return unknown })
			}
			r.Do(i, put(fmt.Sprint("void", i), -1), func() Output { return unknown })
			r.Do(i, put(record, -1), func() Output { return Output{Repeat: true, Reply: "re " + record, Count: -1} })
			all = append(all, record)
		}
		r.Do(0, read, func() Output { return seen(all[:len(all)-map[bool]int{true: 1}[lost]]...) })
		if err := Check(r.Operations(), "", map[string][]Entry{"s": entries(all...)}); (err != nil) != lost {
			t.Errorf("lost %v: got %v", lost, err)
		}
	}
}

// TestCheckManyUnknown: calls whose outcome nobody knows, and that did nothing, must not make a refusal cost 2^n steps.
func TestCheckManyUnknown(t *testing.T) {
	var ops []porcupine.Operation
	add := func(from, to int64, in Input, out Output) {
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: in, Output: out, Call: from, Return: to})
	}
	for i := range 64 {
		add(1, math.MaxInt64, put("void "+string(rune('A'+i)), -1), unknown)
		add(1, math.MaxInt64, read, unknown)
	}
	add(2, 3, put("a", -1), done("a", 1))
	add(4, 5, put("b", -1), done("b", 2))
	add(6, 7, read, seen("a")) // stale
	err := Check(ops, "", map[string][]Entry{"s": entries("a", "b")})
	if err == nil || !strings.Contains(err.Error(), "not linearizable") {
		t.Errorf("got %v, want that it is not linearizable", err)
	}
}

// TestOrderIsTakenFromTheEnd: clients that work at the same time and are not told where their records are do not make the search long.
func TestOrderIsTakenFromTheEnd(t *testing.T) {
	const rounds, clients = 30, 6
	for _, stale := range []bool{false, true} {
		var ops []porcupine.Operation
		var all []string
		for round := range int64(rounds) {
			var these []string
			for i := range clients {
				record := fmt.Sprintf("r%d.%d", round, i)
				these = append([]string{record}, these...)
				for try := range int64(3) {
					ops = append(ops, porcupine.Operation{ClientId: i, Input: put(record, -1), Output: unknown, Call: 20*round + try, Return: math.MaxInt64})
				}
				ops = append(ops, porcupine.Operation{ClientId: i, Input: put(record, -1), Output: Output{Repeat: true, Reply: "re " + record, Count: -1}, Call: 20*round + 5, Return: 20*round + 10})
			}
			all = append(all, these...)
		}
		told := seen(all...)
		if stale {
			told = seen(all[:len(all)-1]...)
		}
		ops = append(ops, porcupine.Operation{ClientId: clients, Input: read, Output: told, Call: 20 * rounds, Return: 20*rounds + 1})
		if err := Check(ops, "", map[string][]Entry{"s": entries(all...)}); (err != nil) != stale {
			t.Errorf("stale %v: got %v", stale, err)
		}
	}
}
