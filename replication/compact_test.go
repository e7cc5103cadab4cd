package replication

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// ballast writes records of n KiB behind all events and deletes them again: free pages.
func ballast(t testing.TB, s *store, n int) {
	t.Helper()
	const from = 1 << 40
	put := func(tx *bolt.Tx) error {
		for i := range uint64(n) {
			if err := tx.Bucket(eventsBucket).Put(eventKey(from+i), make([]byte, 1<<10)); err != nil {
				return err
			}
		}
		return nil
	}
	drop := func(tx *bolt.Tx) error {
		for i := range uint64(n) {
			if err := tx.Bucket(eventsBucket).Delete(eventKey(from + i)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(s.db.Update(put), s.db.Update(drop), s.db.Update(func(*bolt.Tx) error { return nil })); err != nil {
		t.Fatal(err)
	}
}

// keepBusy applies turns of some sessions, from entry index on, and flushes now and then.
func keepBusy(t testing.TB, s *store, index uint64, turns int) uint64 {
	t.Helper()
	m := machineOn(t, s)
	for i := range turns {
		n := i % 7
		st, err := s.get(sid(n))
		if err != nil {
			t.Fatal(err)
		}
		log := entryOf(t, index, openCmd(n))
		if st != nil {
			log = entryOf(t, index, sayCmd(n, len(st.Turns)+int(st.Count), st.Seq))
		}
		m.Apply(log)
		index++
		if i%10 == 9 {
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	return index
}

// stateIn opens what a crash leaves in a directory: a copy of its files.
func stateIn(t *testing.T, dir string) *store {
	t.Helper()
	to := t.TempDir()
	files, err := filepath.Glob(filepath.Join(dir, stateFile+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		buf, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(path)), buf, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := openStore(to, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	if exists(filepath.Join(to, compactFile)) {
		t.Error("what was left of a compaction is still there")
	}
	return s
}

// A crash at any step of a compaction leaves all that was flushed, whatever was flushed in between.
func TestCrashWithinACompaction(t *testing.T) {
	s := memoryStore(t)
	index := keepBusy(t, s, 1, 60)
	ballast(t, s, 4096)
	size := func() (used int64) {
		if err := s.view(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
			t.Fatal(err)
		}
		return used
	}
	before := size()
	check := func(step string) {
		t.Helper()
		crashed := stateIn(t, s.dir)
		if got, want := crashed.mark(), s.mark(); got != want {
			t.Errorf("%s: got mark %+v, want %+v", step, got, want)
		}
		if got, want := dump(t, crashed), dump(t, s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the file after the crash has other records", step)
		}
	}
	check("before")
	c, tx, err := s.beginCompaction()
	if err != nil {
		t.Fatal(err)
	}
	check("begun")
	index = keepBusy(t, s, index, 40) // chunks of the index among it
	if err := errors.Join(c.copy(t.Context(), tx), tx.Rollback()); err != nil {
		t.Fatal(err)
	}
	check("copied")
	index = keepBusy(t, s, index, 40)
	if err := c.catchUp(); err != nil {
		t.Fatal(err)
	}
	index = keepBusy(t, s, index, 20)
	check("caught up")
	old, err := c.finish()
	if err != nil {
		t.Fatal(err)
	}
	check("finished")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	keepBusy(t, s, index, 40)
	check("gone on")
	if after := size(); after > before/2 {
		t.Errorf("the file had %d bytes, now %d", before, after)
	}
	other := memoryStore(t) // a replica that applied the same and never compacted
	i := keepBusy(t, other, 1, 60)
	i = keepBusy(t, other, i, 40)
	i = keepBusy(t, other, i, 40)
	i = keepBusy(t, other, i, 20)
	keepBusy(t, other, i, 40)
	if got, want := dump(t, s), dump(t, other); !reflect.DeepEqual(got, want) {
		t.Error("the compacted file has other records than one that never was")
	}
}

// The store compacts by itself, and goes on meanwhile.
func TestCompactionRunsBesideTheFlush(t *testing.T) {
	s := memoryStore(t)
	s.compactLeast = 1 << 20
	index := keepBusy(t, s, 1, 60)
	ballast(t, s, 8192)
	if !s.wasteful() {
		t.Fatal("8 MiB of free pages are no waste")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, time.Millisecond)
	}()
	var small bool
	for end := time.Now().Add(30 * time.Second); !small && time.Now().Before(end); {
		index = keepBusy(t, s, index, 10)
		if err := s.view(func(tx *bolt.Tx) error { small = tx.Size() < 2<<20; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-done
	if !small {
		t.Error("the file is not compacted")
	}
	for n := range 7 {
		if st, err := s.get(sid(n)); err != nil || st == nil {
			t.Errorf("session %d: got %v, %v", n, st, err)
		}
	}
	if exists(filepath.Join(s.dir, compactFile)) {
		t.Error("the copy is left")
	}
}

func TestCompactionIsGivenUp(t *testing.T) {
	for name, spoil := range map[string]func(*store, context.CancelFunc) error{
		"no room": func(s *store, _ context.CancelFunc) error {
			s.space = func() (free, total uint64, err error) { return 1000, 1000, nil }
			return nil
		},
		"stopped": func(_ *store, cancel context.CancelFunc) error { cancel(); return nil },
		"a bad disk": func(s *store, _ context.CancelFunc) error {
			return os.MkdirAll(filepath.Join(s.dir, compactFile, "x"), 0o700)
		},
	} {
		s := memoryStore(t)
		keepBusy(t, s, 1, 60)
		ballast(t, s, 4096)
		before := dump(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		if err := spoil(s, cancel); err != nil {
			t.Fatal(err)
		}
		if err := s.compact(ctx); err == nil {
			t.Errorf("%s: got no error", name)
		}
		cancel()
		if info, err := os.Stat(filepath.Join(s.dir, compactFile)); err == nil && !info.IsDir() {
			t.Errorf("%s: the copy is left", name)
		}
		if got := dump(t, s); !reflect.DeepEqual(got, before) || s.compacting != nil {
			t.Errorf("%s: the state has changed", name)
		}
		if s.flush(); s.broken != nil {
			t.Errorf("%s: broken: %v", name, s.broken)
		}
	}
}

// A snapshot that arrives in the middle of a compaction wins; too many changes end it.
func TestCompactionOfAStateThatIsReplaced(t *testing.T) {
	donor := memoryStore(t)
	keepBusy(t, donor, 1, 30)
	var snapshot bytes.Buffer
	if err := donor.writeSnapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string]func(*store, *compaction) error{
		"restored": func(s *store, _ *compaction) error { return s.restore(io.NopCloser(&snapshot)) },
		"too busy": func(s *store, c *compaction) error {
			c.bytes = compactNotes
			machineOn(t, s).ApplyBatch([]*raft.Log{entryOf(t, 1000, openCmd(99))})
			return s.flush()
		},
	} {
		s := memoryStore(t)
		keepBusy(t, s, 1, 60)
		c, tx, err := s.beginCompaction()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.copy(t.Context(), tx), tx.Rollback()); err != nil {
			t.Fatal(err)
		}
		if err := replace(s, c); err != nil {
			t.Fatal(err)
		}
		want := dump(t, s)
		if err := c.catchUp(); !errors.Is(err, errGivenUp) {
			t.Errorf("%s: catch up: got %v, want %v", name, err, errGivenUp)
		}
		if old, err := c.finish(); old != nil || !errors.Is(err, errGivenUp) {
			t.Errorf("%s: finish: got %v, want %v", name, err, errGivenUp)
		}
		if err := c.abandon(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := dump(t, s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the state has changed", name)
		}
		if left, _ := filepath.Glob(filepath.Join(s.dir, "*"+strings.TrimPrefix(compactFile, stateFile))); len(left) > 0 {
			t.Errorf("%s: left: %v", name, left)
		}
	}
}

// The states that notes keep in memory count, each session once.
func TestNotesAreBounded(t *testing.T) {
	s := memoryStore(t)
	c := &compaction{store: s, notes: map[skein.SessionID]*change{}}
	big := &session.State{Memory: make([]byte, 16<<20)}
	for n, most := 0, compactHeld/len(big.Memory); n <= 2*most; n++ {
		c.note(map[skein.SessionID]*change{sid(n % (most - 1)): {state: big}}, mark{index: 1})
	}
	if c.void.Load() {
		t.Fatalf("%d sessions are too many: %d bytes", len(c.notes), c.held)
	}
	c.note(map[skein.SessionID]*change{"eu~more": {state: big}, "eu~most": {state: big}}, mark{index: 1})
	if !c.void.Load() || c.notes != nil {
		t.Errorf("it goes on with %d sessions, %d bytes", len(c.notes), c.held)
	}
}
