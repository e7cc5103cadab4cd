package replication

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// keptStore applies commands to a store, one entry each, and moves its calendar.
type keptStore struct {
	*store
	t     testing.TB
	m     *machine
	index uint64
	wall  time.Time
}

func newKeptStore(t testing.TB) *keptStore {
	s := memoryStore(t)
	k := &keptStore{store: s, t: t, m: machineOn(t, s), wall: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	k.tick(0)
	return k
}

// tick lets time pass, in steps that the calendar takes.
func (k *keptStore) tick(d time.Duration) {
	k.t.Helper()
	for first := true; first || d > 0; first = false {
		step := min(d, session.CalendarStep)
		d -= step
		k.wall = k.wall.Add(step)
		k.calendar(k.wall, step)
	}
}

func (k *keptStore) calendar(wall time.Time, elapsed time.Duration) {
	k.t.Helper()
	buf, err := encodeCommand(&wire.Command{Body: &wire.Command_Calendar{Calendar: &wire.CmdCalendar{WallMs: wall.UnixMilli(), ElapsedNs: int64(elapsed)}}})
	if err != nil {
		k.t.Fatal(err)
	}
	k.apply(buf)
}

func (k *keptStore) apply(commands ...[]byte) []session.Result {
	k.t.Helper()
	k.index++
	results, err := k.m.applyLog(&raft.Log{Index: k.index, Term: 1, Data: encodeEnvelope(0, 0, commands)})
	if err != nil {
		k.t.Fatal(err)
	}
	return results
}

// propose is what a sweep proposes with; it gives an error for what it did not expect to be refused.
func (k *keptStore) propose(_ context.Context, commands []session.Command) error {
	a, err := newAttempted(commands)
	if err != nil {
		return err
	}
	for _, r := range k.apply(a.encoded...) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func (k *keptStore) must(commands ...session.Command) {
	k.t.Helper()
	if err := k.propose(k.t.Context(), commands); err != nil {
		k.t.Fatal(err)
	}
}

// flushed flushes, and forgets what memory holds of the file.
func (k *keptStore) flushed() {
	k.t.Helper()
	if err := k.flush(); err != nil {
		k.t.Fatal(err)
	}
	k.clean.clear()
	k.known.clear()
}

// records counts what the buckets hold.
func (k *keptStore) records() map[string]int {
	k.t.Helper()
	out := map[string]int{}
	err := k.view(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { out[string(name)]++; return nil })
		})
	})
	if err != nil {
		k.t.Fatal(err)
	}
	delete(out, "meta")
	return out
}
