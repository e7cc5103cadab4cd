package replication

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skein-mesh/skein"
)

func TestSpread(t *testing.T) {
	abc := []skein.NodeID{"a", "b", "c"}
	heirs := func(leader skein.NodeID, others ...skein.NodeID) seat { return seat{leader, others} }
	for _, x := range []struct {
		name  string
		seats []seat
		want  transfer
		ok    bool
	}{
		{"alone with one", []seat{heirs("a", "b")}, transfer{}, false},
		{"two more than the other", []seat{heirs("a", "b"), heirs("a", "b")}, transfer{0, "b", 0}, true},
		{"a difference of one stays", []seat{heirs("a", "b"), heirs("a", "b"), heirs("b")}, transfer{}, false},
		{"the first by name of the idlest", []seat{heirs("a", abc[1:]...), heirs("a", "c", "b")}, transfer{0, "b", 0}, true},
		{"only the second group may go there", []seat{heirs("a", "b"), heirs("a", "c"), heirs("a"), heirs("b")}, transfer{1, "c", 0}, true},
		{"nobody may take one", []seat{heirs("a"), heirs("a"), heirs("a")}, transfer{}, false},
		{"an election", []seat{heirs("a", "b"), heirs("a", "b"), heirs("")}, transfer{}, false},
		{"behind one that has more", []seat{heirs("a", "c"), heirs("a", "c"), heirs("b"), heirs("b"), heirs("b")}, transfer{0, "c", 1}, true},
		{"leads nothing", []seat{heirs("b"), heirs("b"), heirs("c")}, transfer{}, false},
	} {
		got, ok := spread("a", x.seats)
		if ok != x.ok || ok && got != x.want {
			t.Errorf("%s: got %v, %v, want %v, %v", x.name, got, ok, x.want, x.ok)
		}
	}
}

// TestSpreadConverges plays every node's part from random beginnings, with one transfer at a time and with all at once
// that the rule lets through, and counts the transfers: no more than are needed, and then none.
func TestSpreadConverges(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		groups, nodes := 2+r.IntN(MaxGroups-1), 2+r.IntN(4)
		voters := []skein.NodeID{"a", "b", "c", "d", "e"}[:nodes]
		leaders := make([]skein.NodeID, groups)
		for g := range leaders {
			leaders[g] = voters[r.IntN(nodes)]
		}
		name := fmt.Sprintf("seed %d: %d groups on %d nodes from %v", seed, groups, nodes, leaders)
		moves := 0
		for ; moves <= groups; moves++ {
			var first *transfer
			for _, self := range voters {
				move, ok := spread(self, seatsFor(self, leaders, voters))
				if ok && (first == nil || move.rank < first.rank) {
					first = &move
				}
			}
			if first == nil {
				break
			}
			if first.rank != 0 {
				t.Fatalf("%s: nobody comes first: %v", name, *first)
			}
			leaders[first.group] = first.to
		}
		count := map[skein.NodeID]int{}
		for _, l := range leaders {
			count[l]++
		}
		least, most := groups, 0
		for _, v := range voters {
			least, most = min(least, count[v]), max(most, count[v])
		}
		if most-least > 1 {
			t.Errorf("%s: ended with %v after %d moves", name, leaders, moves)
		}
	}
}

func seatsFor(self skein.NodeID, leaders, voters []skein.NodeID) []seat {
	seats := make([]seat, len(leaders))
	for g, l := range leaders {
		seats[g].leader = l
		if l == self {
			seats[g].heirs = slices.DeleteFunc(slices.Clone(voters), func(v skein.NodeID) bool { return v == self })
		}
	}
	return seats
}

func TestMergeLetters(t *testing.T) {
	l := func(ids ...skein.SessionID) (out []DeadLetter) {
		for _, id := range ids {
			out = append(out, DeadLetter{Session: id})
		}
		return out
	}
	for _, x := range []struct {
		name  string
		pages []letterPage
		limit int
		want  string
	}{
		{"none", []letterPage{{}, {}}, 3, "[] "},
		{"all of them", []letterPage{{l("a", "c"), ""}, {l("b"), ""}}, 3, "[a b c] "},
		{"cut by the limit", []letterPage{{l("a", "c"), ""}, {l("b"), ""}}, 2, "[a b] b"},
		{"one group has more", []letterPage{{l("a", "b"), "b"}, {l("c"), ""}}, 2, "[a b] b"},
		{"what lies behind that waits", []letterPage{{l("b"), "b"}, {l("a", "c"), ""}}, 3, "[a b] b"},
		{"both have more", []letterPage{{l("a", "d"), "d"}, {l("b", "c"), "c"}}, 9, "[a b c] c"},
		{"whole sessions", []letterPage{{l("a", "b", "b", "b"), ""}, {l("c"), ""}}, 3, "[a] a"},
		{"one session over the limit", []letterPage{{l("a", "a", "a"), "a"}, {l("b"), ""}}, 2, "[a a a] a"},
		{"a short page", []letterPage{{nil, "m"}, {l("n"), ""}}, 3, "[] m"},
	} {
		page, next := mergeLetters(x.pages, x.limit)
		ids := make([]skein.SessionID, len(page))
		for i := range page {
			ids[i] = page[i].Session
		}
		if got := fmt.Sprint(ids, " ", next); got != x.want {
			t.Errorf("%s: got %q, want %q", x.name, got, x.want)
		}
	}
}
