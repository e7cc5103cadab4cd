package node

import (
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/failover"
	"github.com/skein-mesh/skein/session"
)

// A runner that fails just before the leader starts the next attempt makes the log refuse that start for now; taken for
// done, the turn would stay open for as long as this node leads.
func TestStillWanted(t *testing.T) {
	const id = skein.SessionID("eu~s")
	turn := skein.TurnID{Client: "c", Counter: 1}
	run := session.Run{Turn: turn, Attempt: 1}
	runner := skein.Runner{Node: "n1", Incarnation: 1}
	start := session.Start{Turn: turn, Attempt: 2, Runner: skein.Runner{Node: "n2", Incarnation: 1}}
	for _, tt := range []struct {
		name   string
		before []session.Body
		want   bool
	}{
		{"failed meanwhile", []session.Body{session.Fail{Run: run, Reason: "away"}}, true},
		{"completed meanwhile", []session.Body{session.Complete{Run: run, Reply: session.Reply{Text: "hi"}}}, false},
		{"started by another leader", []session.Body{session.Start{Turn: turn, Attempt: 2, Runner: skein.Runner{Node: "n3", Incarnation: 1}}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var st *session.State
			for _, b := range append([]session.Body{
				session.Open{Subject: "ann", Home: "eu"},
				session.Accept{Turn: turn, Subject: "ann", Text: "hello", Runner: runner},
			}, tt.before...) {
				_, res := session.Apply(st, session.Command{Session: id, Body: b}, session.Now{})
				if res.Err != nil {
					t.Fatal(res.Err)
				}
				st = res.State
			}
			_, res := session.Apply(st, session.Command{Session: id, Body: start}, session.Now{})
			if res.Err == nil {
				t.Fatal("the start was not refused")
			}
			if got := stillWanted(res.State, failover.TakeTurn{Session: id, Turn: turn, Attempt: 2, To: start.Runner}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
