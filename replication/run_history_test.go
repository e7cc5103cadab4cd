package replication

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	historySeed = flag.Uint64("seed", 0, "run the histories with this seed alone")
	historyFor  = flag.Duration("histories", 0, "go on with new seeds for this long")
)

// scene is one history: clients work while faults of a kind begin and end.
type scene struct {
	seed      uint64
	kind, who string
	broken    mitigation
}

// play gives what is wrong with the history, and how many calls it has.
func (x scene) play(t *testing.T, dir, picture string) (calls int, err error) {
	s := newStorm(t, x.seed, dir)
	defer s.stopStorm()
	s.begin()
	c := newCrowd(s, x.seed, x.broken)
	defer c.end()
	for range 2 {
		s.pass(300*time.Millisecond, time.Second)
		kind := x.kind
		if kind == "any" {
			kinds := slices.Sorted(maps.Keys(stormFaults))
			kind = kinds[s.rng.IntN(len(kinds))]
		}
		s.run(kind, x.who)
	}
	err = s.finish(c, picture)
	if x.kind == "crash in restore" && s.caught == 0 {
		err = errors.Join(err, errors.New("no crash came between a snapshot and its restore"))
	}
	return c.rec.Len(), err
}

// one plays one history as a test.
func one(t *testing.T, x scene) {
	dir := ramDir(t)
	ok := t.Run(fmt.Sprintf("%s, %s", x.kind, x.who), func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n, err := x.play(t, dir, filepath.Join(os.TempDir(), fmt.Sprintf("skein-history-%d.html", x.seed)))
			if err != nil {
				t.Errorf("seed %d: %v", x.seed, err)
			}
			if n < 100 {
				t.Errorf("seed %d: only %d calls were answered", x.seed, n)
			}
			t.Logf("seed %d: %d calls", x.seed, n)
		})
	})
	if !ok {
		t.Logf("again: go test ./replication -run 'TestHistories/%s,_%s' -args -seed %d", strings.ReplaceAll(x.kind, " ", "_"), x.who, x.seed)
	}
}

var whom = []string{"leader", "follower", "all"}

// TestHistories: whatever fails, no acknowledged record is lost, none is there twice, and no read is stale. A seed fixes
// what fails when and what the clients ask; the order in which goroutines run is the runtime's.
func TestHistories(t *testing.T) {
	kinds := append(slices.Sorted(maps.Keys(stormFaults)), "any")
	seeds := []uint64{1}
	if *historySeed != 0 {
		seeds = []uint64{*historySeed}
	}
	end := time.Now().Add(*historyFor)
	for i := 0; i < len(seeds); i++ {
		for k, kind := range kinds {
			for w, who := range whom {
				if *historySeed == 0 && *historyFor == 0 && (k+w)%3 != 0 {
					continue // the short form has each fault at one of its targets
				}
				one(t, scene{seed: seeds[i], kind: kind, who: who})
			}
		}
		if *historySeed == 0 && time.Now().Before(end) {
			seeds = append(seeds, uint64(time.Now().UnixNano()))
		}
	}
}
