package replication

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/session"
)

// memoryStore is a store in a temporary directory.
func memoryStore(t testing.TB) *store {
	t.Helper()
	s, err := openStore(t.TempDir(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	s.db.NoSync = true // what these tests look at is not what a loss of power leaves, and some flush thousands of times
	t.Cleanup(func() { s.close() })
	return s
}

// entryOf makes a log entry of commands.
func entryOf(t testing.TB, index uint64, commands ...session.Command) *raft.Log {
	t.Helper()
	a, err := newAttempted(commands)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Term: 1, Data: encodeEnvelope(0, 0, a.encoded)}
}

func machineOn(t testing.TB, s *store) *machine {
	return &machine{store: s, fatal: func(err error) { t.Error(err) }, stop: make(chan struct{})}
}

// TestFailedFlushSticks: a flush that succeeded behind one that failed would mark what was lost as written.
func TestFailedFlushSticks(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	m.Apply(entryOf(t, 1, openCmd(1)))
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	first := s.flush()
	if first == nil {
		t.Fatal("a flush into a file that is closed succeeded")
	}
	db, err := openState(s.path()) // the disk is well again
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
	m.Apply(entryOf(t, 2, openCmd(2)))
	if err := s.flush(); !errors.Is(err, first) {
		t.Errorf("flush behind a failed one: got %v, want %v", err, first)
	}
	if err := (&image{store: &store{broken: first, fatal: func(error) {}}}).Persist(nil); !errors.Is(err, first) {
		t.Errorf("snapshot behind a failed flush: got %v, want %v", err, first)
	}
	var onDisk mark
	if err := s.view(func(tx *bolt.Tx) (err error) { onDisk, err = readMark(tx); return err }); err != nil || onDisk.index != 0 {
		t.Errorf("mark on disk: got index %d, %v, want 0", onDisk.index, err)
	}
}

func TestReplayAfterPowerLoss(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	logs := []*raft.Log{entryOf(t, 1, openCmd(1)), entryOf(t, 2, sayCmd(1, 1, 1)), entryOf(t, 3, sayCmd(1, 2, 3), openCmd(2)), entryOf(t, 4, askCmd(2, 1))}
	m.ApplyBatch(logs[:2])
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	m.ApplyBatch(logs[2:])
	want := s.mark()
	// The disk is older than memory; what it has is opened elsewhere and the log is replayed from its start.
	dir := t.TempDir()
	var buf bytes.Buffer
	if err := s.view(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&buf); return err }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s2, err := openStore(dir, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s2.close()
	if got := s2.mark().index; got != 2 {
		t.Errorf("index on disk: got %d, want 2", got)
	}
	machineOn(t, s2).ApplyBatch(logs)
	if got := s2.mark(); got != want {
		t.Errorf("mark after the replay: got %+v, want %+v", got, want)
	}
	if n := s2.openCount(); n != 1 {
		t.Errorf("open sessions: got %d, want 1", n)
	}
}

func TestHistoryAcrossDiskAndOverlay(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	m.ApplyBatch([]*raft.Log{entryOf(t, 1, openCmd(1), sayCmd(1, 1, 1))})
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	run := session.Run{Turn: turnID(2), Attempt: 1}
	piece := session.Command{Session: sid(1), Body: session.Progress{Run: run, Text: "ans"}}
	done := session.Command{Session: sid(1), Body: session.Complete{Run: run, Reply: session.Reply{Text: "answer"}}}
	m.ApplyBatch([]*raft.Log{entryOf(t, 2, askCmd(1, 2), piece, done)})
	for _, flushed := range []bool{false, true} {
		events, err := s.history(sid(1), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			got = append(got, e.Kind.String())
		}
		if want := "opened accepted completed accepted completed"; strings.Join(got, " ") != want {
			t.Errorf("flushed %v: got %v, want %s", flushed, got, want)
		}
		if page, err := s.history(sid(1), 2, 2); err != nil || len(page) != 2 || page[0].Seq != 3 || page[1].Seq != 4 {
			t.Errorf("flushed %v: page after 2: got %+v, %v", flushed, page, err)
		}
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshotRoundTripAndDamage(t *testing.T) {
	s := memoryStore(t)
	machineOn(t, s).ApplyBatch([]*raft.Log{entryOf(t, 5, openCmd(1), askCmd(1, 1))})
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := s.writeSnapshot(&buf); err != nil {
		t.Fatal(err)
	}
	good := buf.Bytes()
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 1; return b }
	for name, bad := range map[string][]byte{
		"empty": nil, "header only": good[:snapshotHeader], "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
		"magic": flip(0), "size": flip(snapshotHeader - 1), "content": flip(snapshotHeader + 5000), "checksum": flip(len(good) - 1),
	} {
		other := memoryStore(t)
		machineOn(t, other).ApplyBatch([]*raft.Log{entryOf(t, 3, openCmd(9))})
		if err := other.restore(bytes.NewReader(bad)); !errors.Is(err, errCorrupt) {
			t.Errorf("%s: got %v, want %v", name, err, errCorrupt)
		}
		if st, err := other.get(sid(9)); st == nil || err != nil {
			t.Errorf("%s: the old state is gone: %v, %v", name, st, err)
		}
	}
	wantRestored(t, s, good)
}

// wantRestored restores a snapshot of s over another store.
func wantRestored(t *testing.T, s *store, snapshot []byte) {
	t.Helper()
	other := memoryStore(t)
	machineOn(t, other).ApplyBatch([]*raft.Log{entryOf(t, 3, openCmd(9))})
	changed, leave, err := other.watch(sid(1))
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if err := other.restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	<-changed
	if got, want := other.mark(), s.mark(); got != want {
		t.Errorf("mark: got %+v, want %+v", got, want)
	}
	if st, _ := other.get(sid(9)); st != nil {
		t.Errorf("a session from before: got %+v, want none", st)
	}
	if n := other.openCount(); n != 1 {
		t.Errorf("open turns: got %d, want 1", n)
	}
	if err := other.view(func(tx *bolt.Tx) error {
		base, err := readBase(tx)
		if base != 5 {
			t.Errorf("base: got %d, want 5", base)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestFlippedBitInASession(t *testing.T) {
	s := memoryStore(t)
	machineOn(t, s).ApplyBatch([]*raft.Log{entryOf(t, 1, openCmd(1), askCmd(1, 1))})
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		v := bytes.Clone(tx.Bucket(sessionsBucket).Get([]byte(sid(1))))
		v[len(v)-1] ^= 1
		return tx.Bucket(sessionsBucket).Put([]byte(sid(1)), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.clean.clear()
	if _, err := s.get(sid(1)); !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), s.path()) {
		t.Errorf("get: got %v, want %v that names %s", err, errCorrupt, s.path())
	}
	s.close()
	if _, err := openStore(s.dir, nil); !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), s.path()) {
		t.Errorf("open: got %v, want %v that names %s", err, errCorrupt, s.path())
	}
}

func TestBackPressure(t *testing.T) {
	s := memoryStore(t)
	s.pending = maxPending
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, 1)
	}()
	machineOn(t, s).ApplyBatch([]*raft.Log{{Index: 1, Type: raft.LogConfiguration}}) // gives the writer something to flush
	machineOn(t, s).ApplyBatch([]*raft.Log{entryOf(t, 2, openCmd(1))})               // waits for it
	cancel()
	<-done
	if got := s.mark().index; got != 2 {
		t.Errorf("applied: got %d, want 2", got)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add([]byte(snapshotMagic))
	f.Add([]byte(snapshotMagic + "\x00\x00\x00\x00\x00\x00\x00\x02abcd"))
	f.Add([]byte(snapshotMagic + "\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, buf []byte) { readSnapshot([]byte("key"), bytes.NewReader(buf), io.Discard) })
}

func FuzzDecodeStored(f *testing.F) {
	key := []byte("k")
	f.Add(seal(key, mark{index: 1}.encode()))
	f.Add(seal(key, nil))
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, buf []byte) {
		if content, err := unseal(key, buf); err == nil {
			if m, err := decodeMark(content); err == nil && !bytes.Equal(m.encode(), content) {
				t.Errorf("mark: got %x, want %x", m.encode(), content)
			}
		}
		if ev, err := decodeEvent(buf); err == nil {
			eventToWire(&ev)
		}
	})
}
