package replication

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
)

func openTestLog(t *testing.T, path string) *logStore {
	t.Helper()
	s, err := openLogStore(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fill(t *testing.T, s *logStore, low, high uint64) {
	t.Helper()
	var logs []*raft.Log
	for i := low; i <= high; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: i / 10, Type: raft.LogCommand, Data: bytes.Repeat([]byte{byte(i)}, int(i%50))})
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func wantEdges(t *testing.T, s *logStore, first, last uint64) {
	t.Helper()
	f, err := s.FirstIndex()
	if err != nil || f != first {
		t.Errorf("first index: got %d, %v, want %d", f, err, first)
	}
	if l, err := s.LastIndex(); err != nil || l != last {
		t.Errorf("last index: got %d, %v, want %d", l, err, last)
	}
}

func TestLogStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s := openTestLog(t, path)
	wantEdges(t, s, 0, 0)
	want := raft.Log{Index: 1, Term: 3, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(7, 9)}
	if err := s.StoreLog(&want); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 2, 5000)
	wantEdges(t, s, 1, 5000)
	if err := s.DeleteRange(4001, 5000); err != nil { // a suffix
		t.Fatal(err)
	}
	wantEdges(t, s, 1, 4000)
	s.Close()
	s = openTestLog(t, path)
	var got raft.Log
	if err := s.GetLog(1, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("entry 1 after reopening: got %+v, %v, want %+v", got, err, want)
	}
	if err := s.DeleteRange(1, 3000); err != nil { // a prefix, in chunks
		t.Fatal(err)
	}
	wantEdges(t, s, 3001, 4000)
	if err := s.GetLog(3000, &got); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("deleted entry: got %v, want %v", err, raft.ErrLogNotFound)
	}
	fill(t, s, 9000, 9001) // behind a gap, as after a snapshot
	wantEdges(t, s, 3001, 9001)
	if err := s.DeleteRange(3001, 9001); err != nil {
		t.Fatal(err)
	}
	wantEdges(t, s, 0, 0)
	s.Close()
}

func TestStableStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s := openTestLog(t, path)
	if _, err := s.Get([]byte("k")); err == nil || err.Error() != "not found" {
		t.Errorf("missing key: got %v, want the text %q that the library looks for", err, "not found")
	}
	if err := errors.Join(s.Set([]byte("k"), []byte("v")), s.SetUint64([]byte("n"), 1<<40)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openTestLog(t, path)
	defer s.Close()
	if v, err := s.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Errorf("k: got %q, %v, want %q", v, err, "v")
	}
	if n, err := s.GetUint64([]byte("n")); err != nil || n != 1<<40 {
		t.Errorf("n: got %d, %v, want %d", n, err, uint64(1)<<40)
	}
}

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
			path := filepath.Join(t.TempDir(), "log.db")
			s := openTestLog(t, path)
			fill(t, s, 1, 3000)
			var used int64
			if err := s.db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
				t.Fatal(err)
			}
			s.Close()
			tt.damage(t, path, used)
			s, err := openLogStore(path)
			if err == nil {
				s.Close()
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

func TestFlippedBitInAnEntry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s := openTestLog(t, path)
	defer s.Close()
	fill(t, s, 40, 45)
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(logsBucket)
		v := bytes.Clone(b.Get(indexKey(42)))
		v[logEntryFixed+3] ^= 1
		return b.Put(indexKey(42), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := s.GetLog(42, &l); !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("entry with a flipped bit: got %v, want %v that names %s", err, errCorrupt, path)
	}
	if err := (&disk{logs: s}).verifyLog(39, 45); !errors.Is(err, errCorrupt) {
		t.Errorf("verify: got %v, want %v", err, errCorrupt)
	}
}

func FuzzDecodeLog(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add(encodeLog(&raft.Log{Index: 7, Term: 2, Data: []byte("x"), Extensions: []byte("y")}), uint64(7))
	f.Add(encodeLog(&raft.Log{Index: 7, Term: 2}), uint64(8))
	f.Fuzz(func(t *testing.T, buf []byte, index uint64) {
		var l, again raft.Log
		if decodeLog(index, buf, &l) != nil {
			return
		}
		if err := decodeLog(index, encodeLog(&l), &again); err != nil || !reflect.DeepEqual(l, again) {
			t.Errorf("round trip: got %+v, %v, want %+v", again, err, l)
		}
	})
}

func FuzzReadMeta(f *testing.F) {
	f.Add(make([]byte, metaSize))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if len(buf) >= metaSize {
			readMeta(buf[:metaSize])
		}
	})
}
