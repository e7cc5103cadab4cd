package nodetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
)

// silences are how long no client may hear of its turn when one thing fails in a region of three zones.
var silences = []struct {
	kind string
	most time.Duration
}{
	{"kill", 2 * time.Second}, {"cut", 3500 * time.Millisecond}, {"cut-out", 3500 * time.Millisecond}, {"cut-in", 3500 * time.Millisecond},
	{"stop", 2 * time.Second}, {"drain", 2 * time.Second},
}

// TestLongestSilence lets one node, or one zone, fail at a time under turns of many clients: every other time the one
// that leads.
func TestLongestSilence(t *testing.T) {
	for _, s := range silences {
		for i := range (*chaosSeeds + 1) / 2 { // it takes longer than chaos
			seed := *chaosSeed + uint64(i)
			t.Run(fmt.Sprintf("%s/seed=%d", s.kind, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { silence(t, s.kind, s.most, seed) })
			})
		}
	}
}

func silence(t *testing.T, kind string, most time.Duration, seed uint64) {
	m := newChaos(t, layouts[int(seed)%3], divisions[int(seed/2)%len(divisions)], seed)
	defer m.Close()
	rng := rand.New(rand.NewPCG(seed, 2))
	weather := &storm{m: m, voters: map[int][]skein.NodeID{}}
	var all []*talker
	var worst time.Duration
	for round := range 2 {
		victim := m.process(m.Leader("eu"))
		if round%2 == 1 {
			victim = m.nodes[rng.IntN(len(m.nodes))]
		}
		f := fault{kind: kind, node: victim}
		if strings.HasPrefix(kind, "cut") {
			f = fault{kind: kind, zone: victim.Zone}
		}
		talkers := m.talkers(8, seed<<8+uint64(round))
		all = append(all, talkers...)
		var wg sync.WaitGroup
		for i, k := range talkers {
			k.name = fmt.Sprintf("gap%d-%d", round, i)
			wg.Go(func() {
				defer k.c.Close()
				if k.open() && k.say(k.long(i)) && k.say(&said{text: "where is my order SO10021", has: "SO10021"}) {
					k.say(k.long(i + 1))
				}
			})
		}
		time.Sleep(300*time.Millisecond + time.Duration(rng.Int64N(int64(2*time.Second))))
		began := time.Now()
		weather.begin(f)
		wg.Wait()
		for _, k := range talkers {
			for _, w := range k.turns {
				at, gap := w.silent([]span{{began.Add(-time.Minute), began.Add(time.Hour)}})
				worst = max(worst, gap)
				if gap > most {
					t.Errorf("%s %s (round %d): silence of %v from %v on in turn %s of %s %q, answered by %s after %d attempts", kind, victim.ID,
						round, gap, at.Sub(began), w.id, k.name, w.text, w.reply.Node, w.reply.Attempts)
				}
			}
		}
		weather.end(f)
		m.allAlive()
	}
	m.settle(t)
	m.check(t, all)
	t.Logf("longest silence %v", worst.Round(time.Millisecond))
}

// allAlive waits until every node that runs sees every other alive, and hears of a leader.
func (m *Mesh) allAlive() {
	m.t.Helper()
	m.Eventually("members that are all alive", time.Minute, func() bool {
		for _, p := range m.Running() {
			for _, q := range p.node.Mesh().Members() {
				if q.Status != mesh.Alive {
					return false
				}
			}
			if !p.node.Region().Quorum() {
				return false
			}
		}
		return true
	})
}
