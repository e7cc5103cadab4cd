package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/replication/seglog"
)

func TestDamagedFilesAreNamed(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, path string, used int64)
	}{
		{"not a database", func(t *testing.T, path string, _ int64) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("garbage!"), 4096), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"cut to one page", func(t *testing.T, path string, _ int64) { truncate(t, path, 4096) }},
		{"cut in the middle", func(t *testing.T, path string, used int64) { truncate(t, path, used/2) }},
		{"last page cut", func(t *testing.T, path string, used int64) { truncate(t, path, used-1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), stateFile)
			db, err := openState(path)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error {
				for i := range uint64(3000) {
					if err := tx.Bucket(eventsBucket).Put(binary.BigEndian.AppendUint64(nil, i), make([]byte, 50)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var used int64
			if err := db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
				t.Fatal(err)
			}
			db.Close()
			tt.damage(t, path, used)
			db, err = openState(path)
			if err == nil {
				db.Close()
				t.Fatal("open: got no error")
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("open: got %q, want it to name %s", err, path)
			}
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestFlippedBitInTheLogEndsTheStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, logDir)
	l, err := seglog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(40); i <= 45; i++ {
		if err := l.StoreLog(&raft.Log{Index: i, Data: []byte("some data")}); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	files, err := filepath.Glob(filepath.Join(path, "*.seg"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files: got %v, %v, want one", files, err)
	}
	buf, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(buf, []byte("some data"))
	if at < 0 {
		t.Fatal("the data is not in the file as it is")
	}
	buf[at] ^= 1
	if err := os.WriteFile(files[0], buf, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDisk(dir, newRaftLog(discardLog()), func(error) {}); !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("open: got %v, want %v that names %s", err, errCorrupt, files[0])
	}
}

func TestLogOfAnOlderBuildIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, oldLogFile)
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDisk(dir, newRaftLog(discardLog()), nil); err == nil || !contains(err.Error(), path) {
		t.Errorf("open: got %v, want it to name %s", err, path)
	}
	if buf, err := os.ReadFile(path); err != nil || string(buf) != "old" {
		t.Errorf("the old log: got %q, %v, want it untouched", buf, err)
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state file: got %v, want that none was made", err)
	}
}

// A snapshot was received and published, and the crash came before the old log was removed.
func TestLogBehindTheSnapshotIsDropped(t *testing.T) {
	for _, tt := range []struct{ snapshot, first, last uint64 }{{100, 0, 0}, {60, 1, 60}, {30, 1, 60}} {
		dir := t.TempDir()
		d, err := openDisk(dir, newRaftLog(discardLog()), func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= 60; i++ {
			if err := d.logs.StoreLog(&raft.Log{Index: i}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.dropStale(onDisk{snapshot: tt.snapshot, first: 1, last: 60}); err != nil {
			t.Fatal(err)
		}
		first, _ := d.logs.FirstIndex()
		last, _ := d.logs.LastIndex()
		if first != tt.first || last != tt.last {
			t.Errorf("snapshot at %d: the log is %d to %d, want %d to %d", tt.snapshot, first, last, tt.first, tt.last)
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}
}

// Raft has to remove the log when it installs a snapshot, also through the cache and the watch.
func TestRaftSeesAMonotonicLog(t *testing.T) {
	l, err := seglog.Open(filepath.Join(t.TempDir(), logDir))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cache, err := raft.NewLogCache(1, newWatchedLog(l, func(error) {}))
	if err != nil {
		t.Fatal(err)
	}
	if !cache.IsMonotonic() {
		t.Error("got false, want true")
	}
}

func FuzzReadMeta(f *testing.F) {
	f.Add(make([]byte, metaSize))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if len(buf) >= metaSize {
			readMeta(buf[:metaSize])
		}
	})
}

// TestDamagedPageIsAnError: every page of a state file in turn is overwritten; opening and reading may fail, and do not panic.
func TestDamagedPageIsAnError(t *testing.T) {
	k := newKeptStore(t)
	for n := range 50 {
		k.must(openCmd(n), sayCmd(n, 1, 1))
	}
	k.flushed()
	path := k.path()
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noticed := 0
	used := len(bytes.TrimRight(whole, "\x00")) // the file is made larger at once
	for at := 0; at < used; at += 4096 {
		bad := slices.Clone(whole[:(used/4096+1)*4096])
		clear(bad[at : at+4096])
		dir := t.TempDir() // bbolt keeps the lock on a file over which it panicked
		if err := os.WriteFile(filepath.Join(dir, stateFile), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := openStore(dir, func(error) {})
		if err != nil {
			noticed++
			if !strings.Contains(err.Error(), filepath.Join(dir, stateFile)) {
				t.Errorf("page at %d: %v does not name the file in %s", at, err, dir)
			}
			continue
		}
		for n := range 50 {
			if _, err := st.get(sid(n)); err != nil {
				noticed++
				break
			}
		}
		st.close() //nolint:errcheck // it is damaged
	}
	if noticed == 0 {
		t.Error("no damage was noticed")
	}
}
