package replication

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// notices are histories in which something surely happens that a mitigation is for.
var notices = []struct {
	name   string
	broken mitigation
	play   func(*storm, *teller)
	want   string
}{
	{"repeats are not noticed", repeatsAreNoticed, notHeard, "2 times in"},
	{"reads of the nearest replica", readsRideTheLog, leftBehind, "not linearizable"},
}

// TestHistoriesNotice: without what they rely on, histories are refused, and with it the same ones are not.
func TestHistoriesNotice(t *testing.T) {
	for _, tt := range notices {
		for _, broken := range []mitigation{0, tt.broken} {
			name := tt.name
			if broken == 0 {
				name = "sound, " + name
			}
			t.Run(name, func(t *testing.T) {
				dir := ramDir(t)
				bubble(t, func(t *testing.T) {
					s := newStorm(t, 1, dir)
					defer s.stopStorm()
					s.begin()
					all := &crowd{stop: make(chan struct{})}
					c := &teller{rng: rand.New(rand.NewPCG(1, 1)), rec: &all.rec, pick: s.pick, skew: s.skewed, broken: broken}
					all.tellers = append(all.tellers, c)
					tt.play(s, c)
					err := s.finish(all, "")
					switch {
					case broken == 0 && err != nil:
						t.Errorf("refused: %v", err)
					case broken != 0 && err == nil:
						t.Errorf("the history of %d calls was accepted", all.rec.Len())
					case broken != 0 && !strings.Contains(err.Error(), tt.want):
						t.Errorf("refused, and not for %q: %v", tt.want, err)
					}
				})
			})
		}
	}
}

// notHeard: the client does not hear the first answer to each append, and sends it again.
func notHeard(_ *storm, c *teller) {
	c.deaf = true
	for i := range 8 {
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		c.append(ctx, i%historySessions)
		cancel()
	}
}

// leftBehind: a leader is cut off, the others go on without it, and the client reads from it.
func leftBehind(s *storm, c *teller) {
	old := s.lead()
	s.sky.sever(s.around(s.targets("leader"), true, true)...)
	s.until("another leader", 30*time.Second, func() bool {
		for _, m := range s.nodes {
			if m != old && m.IsLeader() {
				c.pick = func(*rand.Rand) *Group { return m.Group }
				return true
			}
		}
		return false
	})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	c.append(ctx, 0)
	c.read(ctx, old.Group, 0)
	s.heal()
}
