package replication

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/e2e/powerfs"
)

var (
	lossSeed  = flag.Uint64("power.seed", 0, "run the power loss tests with this seed alone")
	lossSeeds = flag.Uint64("power.seeds", 2, "seeds of each power loss test")
)

// ordeal is a way to live through losses of power; it gives the first promise that was broken.
type ordeal struct {
	name   string
	voters []skein.NodeID
	rounds int
	steps  func(o *outage) int // before the power fails
	live   func(o *outage) error
	big    bool
}

var ordeals = []ordeal{
	{name: "alone", voters: []skein.NodeID{"a1"}, rounds: 4, steps: fewOrMany, live: (*outage).liveAlone},
	{name: "three", voters: []skein.NodeID{"a1", "b1", "c1"}, rounds: 3, steps: fewOrMany, live: (*outage).liveAlone},
	{name: "snapshots", voters: []skein.NodeID{"a1", "b1", "c1"}, rounds: 2, steps: func(o *outage) int { return 100 + o.rng.IntN(500) }, live: (*outage).liveBySnapshot},
}

func fewOrMany(o *outage) int { return o.rng.IntN(6) * o.rng.IntN(60) }

func (x ordeal) run(t *testing.T, disk *powerfs.Mounted, seed uint64) (broken error) {
	bubble(t, func(t *testing.T) {
		o, err := newOutage(disk, seed, x.voters...)
		if err != nil {
			t.Fatal(err)
		}
		o.big = x.big
		defer o.end()
		for round := range x.rounds {
			if broken = o.round(x); broken != nil {
				broken = fmt.Errorf("round %d: %w", round, broken)
				return
			}
		}
		if err := o.startAll(); err != nil {
			broken = err
			return
		}
		broken = o.verify()
	})
	return broken
}

// startAll opens every replica and looks whether it has kept its promises.
func (o *outage) startAll() error {
	for _, id := range o.voters {
		if err := o.start(id); err != nil {
			return err
		}
		if err := o.kept(id); err != nil {
			return err
		}
	}
	return nil
}

// round is one life, from the start of the replicas to the loss of power.
func (o *outage) round(x ordeal) error {
	if err := o.disk.Arm(o.name(), x.steps(o)); err != nil {
		return err
	}
	err := o.startAll()
	if err == nil {
		err = x.live(o)
	}
	if on := o.on(); err != nil && on == nil {
		return err
	}
	o.stop(o.voters...) //nolint:errcheck // it happens after the loss
	from := o.dir()
	o.gen++
	if err := o.disk.Revive(o.name(), o.rng.IntN(5) == 0, o.rng.Uint64()); err != nil {
		return err
	}
	return os.RemoveAll(from)
}

func (o *outage) end() {
	o.stop(o.voters...) //nolint:errcheck // the verdict is there already
	os.RemoveAll(o.dir())
}

// liveAlone writes, takes snapshots and lets flushes happen until the power fails.
func (o *outage) liveAlone() error {
	if err := o.verify(); err != nil {
		return err
	}
	for range 400 {
		if err := o.write(o.rng.IntN(len(o.acked))); err != nil {
			return err
		}
		if err := o.note(); err != nil {
			return err
		}
		switch o.rng.IntN(20) {
		case 0:
			time.Sleep(100 * time.Millisecond) // a flush
		case 1:
			for _, m := range o.nodes {
				m.raft.Load().Snapshot().Error() //nolint:errcheck // there may be nothing new
			}
		}
	}
	return o.on()
}

// liveBySnapshot makes a follower miss entries that the leader's log no longer has.
func (o *outage) liveBySnapshot() error {
	if err := o.verify(); err != nil {
		return err
	}
	lead, err := o.lead()
	if err != nil {
		return err
	}
	var behind skein.NodeID
	for _, id := range o.voters {
		if id != lead.cfg.Node {
			behind = id
		}
	}
	if err := o.note(); err != nil {
		return err
	}
	if err := o.stop(behind); err != nil {
		return err
	}
	for range 8 {
		if err := o.write(o.rng.IntN(len(o.acked))); err != nil {
			return err
		}
	}
	for _, m := range o.nodes {
		m.raft.Load().Snapshot().Error() //nolint:errcheck // there may be nothing new
	}
	if err := o.write(0); err != nil {
		return err
	}
	if err := o.start(behind); err != nil {
		return err
	}
	for range 60 {
		if err := o.write(o.rng.IntN(len(o.acked))); err != nil {
			return err
		}
		if err := o.note(); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return o.on()
}

// TestPowerLoss: nothing that was acknowledged is lost when every replica loses its power at once, at any step, whatever the
// disks kept of what was not synced; and no replica forgets what it confirmed.
func TestPowerLoss(t *testing.T) {
	disk := mountPower(t)
	for _, x := range ordeals {
		t.Run(x.name, func(t *testing.T) {
			seeds, from := *lossSeeds, uint64(1)
			if *lossSeed != 0 {
				seeds, from = 1, *lossSeed
			}
			for seed := from; seed < from+seeds; seed++ {
				if err := x.run(t, disk, seed); err != nil {
					kinds, _ := disk.Ignore("")
					t.Fatalf("seed %d (-args -power.seed %d): %v, syncs %v", seed, seed, err, kinds)
				}
			}
			kinds, err := disk.Ignore("")
			t.Logf("%d seeds; syncs: %v, %v", seeds, slices.Sorted(maps.Keys(kinds)), err)
		})
	}
}
