package replication

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// A session with many clients has their marks in records of their own; the one that gives way loses its record.
func TestMarksApart(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	m.Apply(entryOf(t, 1, openCmd(1)))
	say := func(index uint64, client string) {
		cmd := sayCmd(1, 1, skein.Seq(2*index-3))
		a := cmd.Body.(session.Accept)
		a.Turn.Client = skein.ClientID(client)
		cmd.Body = a
		if res := m.Apply(entryOf(t, index, cmd)).([]session.Result); res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
	}
	count := func() (n int) {
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		s.clean.clear()
		err := s.view(func(tx *bolt.Tx) error { n = tx.Bucket(marksBucket).Stats().KeyN; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range session.MaxClients + 3 {
		say(uint64(i+2), fmt.Sprintf("key.%04d", i))
		if got := count(); i < inlineMarks && got != 0 || i >= inlineMarks && got != min(i+1, session.MaxClients) {
			t.Fatalf("after %d clients: %d records", i+1, got)
		}
	}
	st, err := s.get(sid(1))
	if err != nil || len(st.Marks) != session.MaxClients || st.Marks[0].Client != "key.0003" {
		t.Fatalf("marks: got %d, first %+v, %v, want the oldest gone", len(st.Marks), st.Marks[0], err)
	}
	err = s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(marksBucket).Delete(apartKey(sid(1), "key.0100")) })
	if err != nil {
		t.Fatal(err)
	}
	s.clean.clear()
	if _, err := s.get(sid(1)); !errors.Is(err, errCorrupt) || !contains(err.Error(), string(sid(1))) {
		t.Errorf("a lost record: got %v, want an error that names the session", err)
	}
}

func TestSubjectKeysDoNotMix(t *testing.T) {
	subjects := []skein.Subject{"a", "a\x00", "a\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00\x00eu~x", "a\x01", "a\x01\x01", "a\x02", "ab", "\x00"}
	for _, one := range subjects {
		for _, other := range subjects {
			for _, ms := range []int64{-1, 0, 1 << 40, 1<<63 - 1} {
				key := subjectKey(other, 3, ms, "eu~x")
				if got, want := bytes.HasPrefix(key, subjectPrefix(one)), one == other; got != want {
					t.Errorf("key of %q at %d begins like those of %q: got %v", other, ms, one, got)
				}
			}
		}
	}
}

func TestStateOfAnotherFormatIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*bolt.Tx) error{
		"format 1": func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Delete(formatKey) },
		"format 9": func(tx *bolt.Tx) error {
			return tx.Bucket(metaBucket).Put(formatKey, seal(formatKey, []byte{0, 0, 0, 9}))
		},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, stateFile)
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true}) // as format 1 was kept
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(makeLayout), db.Update(spoil), db.Close()); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = openDisk(dir, newRaftLog(discardLog()), nil)
		if err == nil || !contains(err.Error(), path) || !contains(err.Error(), name) {
			t.Errorf("%s: got %v, want it refused by name", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}

// A crash may end the making of the file at any point.
func TestHalfMadeStateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"empty", "without buckets"} {
		if what == "without buckets" {
			db, err := openDB(path, false)
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
		}
		s, err := openStore(dir, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		s.close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A flipped bit in any record ends in an error that names it, at the start or when it is read.
func TestFlippedBitInEachBucket(t *testing.T) {
	fill := func(s *store) {
		logs := []*raft.Log{entryOf(t, 1, openCmd(1))}
		for i := range uint64(40) { // older events in the index
			cmd := sayCmd(1, 1, skein.Seq(1+2*i))
			a := cmd.Body.(session.Accept)
			a.Turn.Client = skein.ClientID(fmt.Sprintf("key.%d", i)) // marks apart
			cmd.Body = a
			logs = append(logs, entryOf(t, i+2, cmd))
		}
		machineOn(t, s).ApplyBatch(logs)
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(dir string) error {
		s, err := openStore(dir, nil)
		if err != nil {
			return err
		}
		defer s.close()
		_, err = s.get(sid(1))
		_, err2 := s.history(sid(1), 0, maxHistory)
		return errors.Join(err, err2)
	}
	for _, tt := range []struct {
		bucket []byte
		names  string
	}{{sessionsBucket, "eu~s1"}, {eventsBucket, "position"}, {indexBucket, "eu~s1"}, {marksBucket, "eu~s1"}, {metaBucket, ""}} {
		s := memoryStore(t)
		fill(s)
		flipped := 0
		err := s.db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(tt.bucket)
			k, v := b.Cursor().Last()
			bad := bytes.Clone(v)
			bad[len(bad)-1] ^= 1
			flipped++
			return b.Put(bytes.Clone(k), bad)
		})
		if err != nil || flipped == 0 {
			t.Fatal(err)
		}
		s.close()
		if err := read(s.dir); !errors.Is(err, errCorrupt) || !contains(err.Error(), tt.names) || !contains(err.Error(), s.path()) {
			t.Errorf("%s: got %v, want an error that names %s and %q", tt.bucket, err, s.path(), tt.names)
		}
	}
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add(encodeEvents(nil))
	f.Add(encodeEvents([]eventAt{{1, 9, 5}, {2, 10, 3}, {7, 4000, 1 << 50}}))
	f.Add([]byte{2, 0, 0, 1, 1, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, buf []byte) {
		list, err := decodeEvents(buf)
		if err != nil {
			return
		}
		again, err := decodeEvents(encodeEvents(list))
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("got %v, %v, want %v", again, err, list)
		}
		from, to, err := eventTimes(buf)
		if a, b := timesOf(list); err != nil || a != from || b != to {
			t.Errorf("times: got %d to %d, %v, want %d to %d", from, to, err, a, b)
		}
	})
}

func FuzzHeader(f *testing.F) {
	s := memoryStore(f)
	machineOn(f, s).Apply(entryOf(f, 1, openCmd(1), sayCmd(1, 1, 1), askCmd(1, 2)))
	if err := s.flush(); err != nil {
		f.Fatal(err)
	}
	key := []byte(sid(1))
	if err := s.view(func(tx *bolt.Tx) error {
		f.Add(bytes.Clone(tx.Bucket(sessionsBucket).Get(key)[sealSize:]))
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		tx, err := s.db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := tx.Bucket(sessionsBucket).Put(key, seal(key, buf)); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			func() error { _, err := readState(tx, sid(1)); return err }(),
			func() error { _, err := placesOf(tx, sid(1), 0, 10); return err }(),
			func() error { _, err := readPlaces(tx, sid(1)); return err }(),
		} {
			if err != nil && !errors.Is(err, errCorrupt) {
				t.Errorf("got %v, want %v", err, errCorrupt)
			}
		}
	})
}
