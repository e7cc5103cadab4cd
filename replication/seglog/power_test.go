package seglog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
)

var (
	powerSeed  = flag.Uint64("power.seed", 0, "run the power loss test with this seed alone")
	powerSeeds = flag.Uint64("power.seeds", 300, "seeds of the power loss test, eight losses each")
)

// owner drives a log on a disk that loses power, and knows what it was promised.
type owner struct {
	fs  *simFS
	rng *rand.Rand
	log *Log

	entries     map[uint64]*raft.Log // what was ever written at an index and may be there
	first, last uint64               // acknowledged
	may         map[uint64]bool      // what the last index may be, beside last, while a write is under way
	term, next  uint64               // acknowledged and, while it is written, the next
	serial      uint64
	crashes     int
}

const simDir = "/sim/log"

func newOwner(seed uint64, ignore string) *owner {
	o := &owner{fs: newSimFS(seed), rng: rand.New(rand.NewPCG(seed, 2)), entries: map[uint64]*raft.Log{}}
	o.fs.ignore = ignore
	return o
}

// run lives through some losses of power, and reports the first broken promise.
func (o *owner) run(rounds int) error {
	for round := range rounds {
		o.fs.left = 1 + o.rng.IntN(5)*o.rng.IntN(25)
		if err := o.live(); err != nil && !errors.Is(err, errPower) {
			return fmt.Errorf("round %d: %w", round, err)
		}
		o.fs.fail()
		o.crashes++
		o.fs.left = -1
		if err := o.open(); err != nil {
			return fmt.Errorf("round %d: after the power came back: %w", round, err)
		}
	}
	return nil
}

// live works until the power fails.
func (o *owner) live() error {
	if o.log == nil {
		if err := o.open(); err != nil {
			return err
		}
	}
	for {
		if err := o.act(); err != nil {
			if !errors.Is(err, errPower) || o.rng.IntN(3) > 0 {
				return err
			}
			// The process dies, the disk keeps its power a little longer: the page cache is still there.
			o.fs.left = o.rng.IntN(12)
			if err := o.open(); err != nil {
				return err
			}
		}
	}
}

func (o *owner) act() error {
	switch n := o.rng.IntN(100); {
	case n < 50:
		return o.append(o.last + 1)
	case n < 53:
		return o.append(o.last + 2 + uint64(o.rng.IntN(9)))
	case n < 65 && o.last > 0:
		return o.cutBack(o.first + uint64(o.rng.IntN(int(o.last-o.first)+1)))
	case n < 75 && o.last > o.first:
		return o.cutFront(o.first + uint64(o.rng.IntN(int(o.last-o.first))))
	case n < 77 && o.last > 0:
		first, _ := o.log.FirstIndex()
		return o.cutBack(first)
	case n < 92:
		o.fs.op = "vote"
		o.next = o.term + 1
		if err := o.log.SetUint64([]byte("term"), o.next); err != nil {
			return err
		}
		o.term = o.next
		return nil
	case n < 96:
		if err := o.log.Close(); err != nil {
			return err
		}
		return o.open()
	}
	return nil
}

func (o *owner) append(index uint64) error {
	o.fs.op = "append"
	var logs []*raft.Log
	for i := range 1 + uint64(o.rng.IntN(4)) {
		o.serial++
		l := &raft.Log{Index: index + i, Term: o.serial, Data: bytes.Repeat([]byte{byte(o.serial)}, 1+o.rng.IntN(1500))}
		logs = append(logs, l)
		o.entries[l.Index] = l
		o.may[l.Index] = true
	}
	if err := o.log.StoreLogs(logs); err != nil {
		return err
	}
	if o.last == 0 {
		o.first = index
	}
	o.last = logs[len(logs)-1].Index
	clear(o.may)
	return nil
}

func (o *owner) cutBack(low uint64) error {
	o.fs.op = "truncate"
	after := uint64(0)
	first, _ := o.log.FirstIndex()
	for i := first; i < low; i++ {
		if o.entries[i] != nil {
			after = i
		}
	}
	o.may[after] = true
	if err := o.log.DeleteRange(low, o.last); err != nil {
		return err
	}
	for i := range o.entries {
		if i > after {
			delete(o.entries, i)
		}
	}
	if o.last = after; o.first > after { // what is left had been cut off in front and came back
		o.first, _ = o.log.FirstIndex()
	}
	clear(o.may)
	return nil
}

func (o *owner) cutFront(high uint64) error {
	o.fs.op = "compact"
	low, _ := o.log.FirstIndex() // older entries may have come back
	for o.first = high + 1; o.entries[o.first] == nil; o.first++ {
	}
	return o.log.DeleteRange(low, high)
}

// open opens the log and checks it; what is found is expected to stay.
func (o *owner) open() (err error) {
	o.fs.op = "open"
	if o.log, err = open(o.fs, simDir); err != nil {
		o.log = nil
		return err
	}
	o.log.full = 12 << 10
	if err := o.check(); err != nil {
		return err
	}
	o.may = map[uint64]bool{}
	return nil
}

func (o *owner) check() error {
	first, _ := o.log.FirstIndex()
	last, _ := o.log.LastIndex()
	if last != o.last && !o.may[last] {
		return fmt.Errorf("last index: got %d, want %d or one of %v", last, o.last, o.may)
	}
	if first > o.first && last != 0 && o.first != 0 {
		return fmt.Errorf("first index: got %d, want at most %d", first, o.first)
	}
	for i := min(first, o.first); i <= last && last > 0; i++ {
		var got raft.Log
		err := o.log.GetLog(i, &got)
		want := o.entries[i]
		if want == nil || i < first {
			if !errors.Is(err, raft.ErrLogNotFound) {
				return fmt.Errorf("entry %d, which must not be there: got %+v, %v", i, got.Term, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(&got, want) {
			return fmt.Errorf("entry %d: got term %d, %v, want term %d", i, got.Term, err, want.Term)
		}
	}
	term, err := o.log.GetUint64([]byte("term"))
	if err != nil && !errors.Is(err, errNotFound) || term != o.term && term != o.next {
		return fmt.Errorf("term: got %d, %v, want %d or %d", term, err, o.term, o.next)
	}
	for i := range o.entries {
		if i > last || last == 0 {
			delete(o.entries, i)
		}
	}
	o.term, o.next, o.last = term, term, last
	if o.first = max(o.first, first); o.first > last {
		o.first = first
	}
	return nil
}

const powerRounds = 8

func TestPowerLoss(t *testing.T) {
	seeds, from := *powerSeeds, uint64(1)
	if *powerSeed != 0 {
		seeds, from = 1, *powerSeed
	}
	crashes := 0
	for seed := from; seed < from+seeds; seed++ {
		o := newOwner(seed, "")
		if err := o.run(powerRounds); err != nil {
			t.Fatalf("seed %d (-power.seed %d): %v", seed, seed, err)
		}
		crashes += o.crashes
	}
	t.Logf("seeds %d to %d, %d losses of power", from, from+seeds-1, crashes)
}

func TestEverySyncIsNeeded(t *testing.T) {
	kinds := map[string]bool{}
	for seed := range uint64(40) {
		o := newOwner(seed, "")
		if err := o.run(powerRounds); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for kind := range o.fs.kinds {
			kinds[kind] = true
		}
	}
	if len(kinds) < 10 {
		t.Errorf("kinds of syncs: got %v, want at least 10", kinds)
	}
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for seed := range uint64(2000) {
				if err := newOwner(seed, kind).run(powerRounds); err != nil {
					t.Logf("without it, seed %d: %v", seed, err)
					return
				}
			}
			t.Error("no promise is broken without this sync")
		})
	}
}
