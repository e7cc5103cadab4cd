package e2e

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

const assistantFile = "testdata/assistant.yaml"

// conversations makes twenty: nine with the shop-like flow, ten with the slow model, one with a slow tool.
func conversations() []*talk {
	var out []*talk
	for i := range 9 {
		out = append(out, &talk{name: fmt.Sprintf("quick%d", i), ask: func(n int) (string, string) {
			if n%2 == 0 {
				return "where is my order SO10021", ""
			}
			return "现在到哪了？", ""
		}})
	}
	for i := range 10 {
		out = append(out, &talk{name: fmt.Sprintf("model%d", i), ask: func(n int) (string, string) {
			prompt := fmt.Sprintf("tell me the story number %d of %d", n, i)
			return prompt, story(prompt, storyPieces)
		}})
	}
	return append(out, &talk{name: "tool", slow: 3 * time.Second, ask: func(int) (string, string) { return "check the warehouse", "" }})
}

// survive lets the twenty talk, kills the node that serves them and then the leader, each in mid-answer, and gives
// every fault that it finds.
func survive(t *testing.T, d *dev) []error {
	serving := other(d, d.leader("eu"))
	talks, gone := conversations(), leavers()
	for _, k := range slices.Concat(talks, gone) {
		if err := k.open(d, serving); err != nil {
			return []error{err}
		}
		defer k.client.Close()
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, k := range talks {
		running.Go(func() { k.run(stop) })
	}
	left := make(map[*talk]skein.TurnID)
	for _, k := range gone {
		id, err := k.leave()
		if err != nil {
			return []error{fmt.Errorf("%s: %w", k.name, err)}
		}
		left[k] = id
	}
	began := time.Now()
	kills(t, d, serving)
	close(stop)
	running.Wait()
	var faults []error
	for _, k := range talks {
		faults = append(faults, k.check(d)...)
	}
	summary(t, talks, time.Since(began))
	return append(faults, completeAlone(d, left)...)
}

// leavers are conversations whose client goes away in mid-answer.
func leavers() []*talk {
	var out []*talk
	for i := range 3 {
		out = append(out, &talk{name: fmt.Sprintf("gone%d", i), ask: func(int) (string, string) {
			return fmt.Sprintf("tell me the lost story %d", i), ""
		}})
	}
	return out
}

// kills ends the serving node, brings it back, and then ends the leader; answers are under way each time.
func kills(t *testing.T, d *dev, serving skein.NodeID) {
	t.Logf("kill %s, which serves", serving)
	d.must("dev", "kill", string(serving))
	wait(3 * time.Second)
	t.Logf("restart it")
	d.must("dev", "restart", string(serving))
	d.eventually("ready "+string(serving), 10*time.Second, func() bool {
		var st status
		return d.admin(serving, "/debug/status", &st) == nil && st.Ready == "ok" && st.Group.Quorum
	})
	wait(1500 * time.Millisecond)
	leader := d.leader("eu")
	t.Logf("kill %s, which leads", leader)
	d.must("dev", "kill", string(leader))
	wait(4500 * time.Millisecond)
}

func summary(t *testing.T, talks []*talk, took time.Duration) {
	turns, gap, moved := 0, time.Duration(0), time.Duration(0)
	for _, k := range talks {
		turns += len(k.turns)
		for _, a := range k.turns {
			gap = max(gap, a.gap-k.slow)
		}
		for _, m := range k.moves {
			moved = max(moved, m.Took)
		}
	}
	t.Logf("%d turns in %v; the longest silence %v, the longest move %v", turns, took.Round(time.Millisecond),
		gap.Round(time.Millisecond), moved.Round(time.Millisecond))
}

// completeAlone waits for the turns whose clients went away.
func completeAlone(d *dev, left map[*talk]skein.TurnID) []error {
	var faults []error
	for k, id := range left {
		text, _ := k.ask(0)
		want := story(text, storyPieces)
		var last error
		for end := time.Now().Add(10 * time.Second); ; wait(200 * time.Millisecond) {
			past, err := history(d, skein.SessionID("eu~"+k.name))
			h := past[id]
			switch {
			case err != nil:
				last = err
			case len(h.completed) != 1:
				last = fmt.Errorf("completed %d times", len(h.completed))
			case h.completed[0] != want:
				last = fmt.Errorf("completed as %q, want %q", h.completed[0], want)
			default:
				last = nil
			}
			if last == nil || time.Now().After(end) {
				break
			}
		}
		if last != nil {
			faults = append(faults, fmt.Errorf("%s, whose client went away: %w", k.name, last))
		}
	}
	return faults
}

// wait lets real processes run; there is no clock here to turn.
func wait(d time.Duration) { <-time.After(d) }

func other(d *dev, not skein.NodeID) skein.NodeID {
	for _, n := range d.file().Nodes {
		if n.Region == "eu" && n.ID != not && n.PID != 0 {
			return n.ID
		}
	}
	d.t.Fatal("no other node")
	return ""
}

func TestConversationsSurviveKills(t *testing.T) {
	need(t)
	d := startDev(t, "--regions", "eu=a,b,c", "--assistant", assistantFile, "--model", slowModel(t))
	if err := errors.Join(survive(t, d)...); err != nil {
		t.Error(err)
	}
}

// TestWithoutTakeoverItFails shows that the test above can fail.
func TestWithoutTakeoverItFails(t *testing.T) {
	need(t)
	d := startDev(t, "--regions", "eu=a,b,c", "--assistant", assistantFile, "--model", slowModel(t), "--no-takeover")
	faults := survive(t, d)
	if len(faults) == 0 {
		t.Error("open turns of dead runners were left alone, and nobody noticed")
	}
	t.Logf("%d faults, as there should be; the first: %v", len(faults), errors.Join(faults[:min(1, len(faults))]...))
}
