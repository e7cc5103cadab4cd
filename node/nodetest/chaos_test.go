package nodetest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

// A run is replayed from its seed: the faults and what the clients say are the same; elections and the order of
// goroutines are not, so that a rare failure may need several runs.
var (
	chaosSeed  = flag.Uint64("seed", 1, "first seed of the chaos tests")
	chaosSeeds = flag.Int("seeds", 2, "how many seeds the chaos tests run")
)

const chaosLength = 40 * time.Second // in which faults begin

// layouts of chaos: with nodes that hold no replica, without any, with more zones.
var layouts = []string{"eu=a,a,b,b,c,c", "eu=a,b,c", "eu=a,a,a,b,b,b,c,c,c", "eu=a,b,c,d,e"}

// divisions are the numbers of groups of chaos.
var divisions = []int{1, 8, 2}

func TestChaos(t *testing.T) {
	for i := range *chaosSeeds {
		seed := *chaosSeed + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		})
	}
}

// slowShop is the embedded shop with a refund that takes its time.
func slowShop(t *testing.T) string {
	t.Helper()
	shop, err := os.ReadFile("../../assistant/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const fast, slow = `mock: {refund_id: `, `mock: {delay: 1200ms, refund_id: `
	if strings.Count(string(shop), fast) != 1 {
		t.Fatalf("no %q in the shop", fast)
	}
	path := t.TempDir() + "/shop.yaml"
	if err := os.WriteFile(path, []byte(strings.Replace(string(shop), fast, slow, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newChaos starts a mesh with the slow shop and a model, and waits until it is up.
func newChaos(t *testing.T, layout string, groups int, seed uint64) *Mesh {
	t.Helper()
	shop := slowShop(t)
	m := NewWith(t, layout, seed, func(c *node.Config) { c.AssistantFile, c.Engine, c.Groups = shop, newModel(), groups })
	m.Leader("eu")
	return m
}

// talkers makes n clients; every fourth shares its session with the one before.
func (m *Mesh) talkers(n int, seed uint64) []*talker {
	var out []*talker
	for i := range n {
		k := &talker{name: fmt.Sprint("chat", i), c: m.Client("eu", nil), rng: rand.New(rand.NewPCG(seed, uint64(i))), fake: newModel()}
		if i%4 == 3 {
			last := out[i-1]
			k.name, k.shared, last.shared = last.name, true, true
		}
		out = append(out, k)
	}
	return out
}

func chaos(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := newChaos(t, layouts[int(seed)%len(layouts)], divisions[int(seed/2)%len(divisions)], seed)
	defer m.Close()
	talkers := m.talkers(6, seed)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, k := range talkers {
		k.talk(stop, &wg)
	}
	faults := schedule(rng, m.nodes, chaosLength)
	began := time.Now()
	for _, f := range faults {
		t.Log(f)
	}
	weather := &storm{m: m, voters: map[int][]skein.NodeID{}}
	weather.run(faults)
	weather.wait(time.Now().Add(5 * time.Second))
	close(stop)
	wg.Wait()
	m.settle(t)
	m.check(t, talkers)
	turns, worst, where := 0, time.Duration(0), ""
	for _, k := range talkers {
		turns += len(k.turns)
		for i, w := range k.turns {
			if k.shared || i > 0 && !k.turns[i-1].whole {
				continue // it also waits for the turn before it
			}
			at, fair := w.silent(weather.fair)
			what := fmt.Sprintf("%v from %.2fs on in %s: turn %s %q, answered by %s after %d attempts", fair.Round(time.Millisecond), at.Sub(began).Seconds(),
				k.name, w.id, w.text, w.reply.Node, w.reply.Attempts)
			if fair > worst {
				worst, where = fair, what
			}
			if fair > fairSilence {
				t.Error("in fair weather, silence of ", what)
			}
		}
	}
	t.Logf("%d faults, %d turns in %v; longest silence in fair weather %s", len(faults), turns, time.Since(began).Round(time.Second), where)
}

// fairSilence is how long a client may hear nothing of its turn while the group could work: a silent zone is found out
// within 2 s, and the slow tool, whose answer may be lost with its node, takes 1.2 s each time.
const fairSilence = 5 * time.Second

// silent gives the longest silence within one of the spans, and when it began.
func (w *said) silent(spans []span) (at time.Time, longest time.Duration) {
	for _, g := range w.gaps {
		for _, s := range spans {
			if d := g.overlap(s); d > longest {
				at, longest = g.from, d
			}
		}
	}
	return at, longest
}

// settle waits until all nodes are well, no turn is open, and all replicas are the same.
func (m *Mesh) settle(t *testing.T) {
	t.Helper()
	for _, p := range m.nodes {
		select {
		case <-p.done:
			t.Errorf("%s ended by itself: %v", p.ID, p.err)
		default:
		}
	}
	leaders := m.Leaders("eu")
	m.Eventually("end of all open turns", 30*time.Second, func() bool {
		for i, leader := range leaders {
			if len(m.Node(leader).Region().Groups()[i].OpenTurns()) > 0 {
				return false
			}
		}
		return true
	})
	m.sameHash("eu")
	m.allAlive()
}
