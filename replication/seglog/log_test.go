package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// store is what raft wants, and what both implementations are held to.
type store interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

var stores = map[string]func(path string) (store, error){
	"segments": func(path string) (store, error) { return Open(path) },
	"bbolt":    func(path string) (store, error) { return openBolt(path) },
}

// conform runs a test over every implementation; open may be called again when the store has been closed.
func conform(t *testing.T, test func(t *testing.T, open func() store)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			test(t, func() store {
				t.Helper()
				s, err := open(path)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func entry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: i / 10, Type: raft.LogCommand, Data: bytes.Repeat([]byte{byte(i)}, int(i%50)+1)}
}

func fill(t *testing.T, s raft.LogStore, low, high uint64) {
	t.Helper()
	var logs []*raft.Log
	for i := low; i <= high; i++ {
		logs = append(logs, entry(i))
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func wantEdges(t *testing.T, s raft.LogStore, first, last uint64) {
	t.Helper()
	f, err := s.FirstIndex()
	if err != nil || f != first {
		t.Errorf("first index: got %d, %v, want %d", f, err, first)
	}
	if l, err := s.LastIndex(); err != nil || l != last {
		t.Errorf("last index: got %d, %v, want %d", l, err, last)
	}
}

func wantEntry(t *testing.T, s raft.LogStore, want *raft.Log) {
	t.Helper()
	var got raft.Log
	if err := s.GetLog(want.Index, &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("entry %d: got %+v, %v, want %+v", want.Index, got, err, want)
	}
}

func deleteRange(t *testing.T, s raft.LogStore, low, high uint64) {
	t.Helper()
	if err := s.DeleteRange(low, high); err != nil {
		t.Fatal(err)
	}
}

func TestLogStore(t *testing.T) {
	conform(t, func(t *testing.T, open func() store) {
		s := open()
		wantEdges(t, s, 0, 0)
		want := raft.Log{Index: 1, Term: 3, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(7, 9)}
		if err := s.StoreLog(&want); err != nil {
			t.Fatal(err)
		}
		fill(t, s, 2, 5000)
		wantEdges(t, s, 1, 5000)
		deleteRange(t, s, 4001, 5000) // a suffix
		wantEdges(t, s, 1, 4000)
		s.Close()
		s = open()
		wantEdges(t, s, 1, 4000)
		wantEntry(t, s, &want)
		wantEntry(t, s, entry(4000))
		deleteRange(t, s, 1, 3000) // a prefix
		wantEdges(t, s, 3001, 4000)
		var got raft.Log
		for _, i := range []uint64{0, 3000, 4001} {
			if err := s.GetLog(i, &got); !errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("entry %d, which is not there: got %v, want %v", i, err, raft.ErrLogNotFound)
			}
		}
		fill(t, s, 9000, 9001) // behind a gap, as after a snapshot
		wantEdges(t, s, 3001, 9001)
		if err := s.GetLog(5000, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry in the gap: got %v, want %v", err, raft.ErrLogNotFound)
		}
		deleteRange(t, s, 5000, 9001) // from within the gap
		wantEdges(t, s, 3001, 4000)
		s.Close()
		s = open()
		if last, err := s.LastIndex(); err != nil || last != 4000 {
			t.Errorf("last index after reopening: got %d, %v, want 4000", last, err)
		}
		deleteRange(t, s, 1, 4000)
		wantEdges(t, s, 0, 0)
		s.Close()
		s = open()
		defer s.Close()
		wantEdges(t, s, 0, 0)
		fill(t, s, 7, 9) // an empty log begins anywhere
		wantEdges(t, s, 7, 9)
	})
}

// A leader's change: the end is replaced by entries of another term, more than once.
func TestSuffixIsRewritten(t *testing.T) {
	conform(t, func(t *testing.T, open func() store) {
		s := open()
		fill(t, s, 1, 20)
		for term := uint64(100); term < 110; term++ {
			from := 20 - (term - 100)
			deleteRange(t, s, from, 20)
			for i := from; i <= 20; i++ {
				if err := s.StoreLog(&raft.Log{Index: i, Term: term}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 {
			wantEdges(t, s, 1, 20)
			wantEntry(t, s, entry(10))
			wantEntry(t, s, &raft.Log{Index: 11, Term: 109})
			wantEntry(t, s, &raft.Log{Index: 20, Term: 109})
			s.Close()
			s = open()
		}
		s.Close()
	})
}

func TestStableStore(t *testing.T) {
	conform(t, func(t *testing.T, open func() store) {
		s := open()
		if _, err := s.Get([]byte("k")); err == nil || err.Error() != "not found" {
			t.Errorf("missing key: got %v, want the text %q that the library looks for", err, "not found")
		}
		if err := errors.Join(s.Set([]byte("k"), []byte("v")), s.SetUint64([]byte("n"), 1<<40)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = open()
		defer s.Close()
		if v, err := s.Get([]byte("k")); err != nil || string(v) != "v" {
			t.Errorf("k: got %q, %v, want %q", v, err, "v")
		}
		if n, err := s.GetUint64([]byte("n")); err != nil || n != 1<<40 {
			t.Errorf("n: got %d, %v, want %d", n, err, uint64(1)<<40)
		}
	})
}

// Readers go on while files come and go.
func TestReadersBesideAppendsAndCuts(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.full = 8 << 10
	fill(t, l, 1, 10)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for i := uint64(1); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				first, _ := l.FirstIndex()
				last, _ := l.LastIndex()
				at := first + i*7%(last-first+1)
				var got raft.Log
				if err := l.GetLog(at, &got); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
					t.Errorf("entry %d: %v", at, err)
					return
				}
			}
		})
	}
	for i := uint64(11); i < 4000; i += 40 {
		fill(t, l, i, i+39)
		if i%400 == 11 && i > 1000 {
			deleteRange(t, l, 1, i-900)
		}
	}
	close(stop)
	readers.Wait()
	wantEntry(t, l, entry(3900))
	if n := len(l.segments); n < 5 {
		t.Errorf("files: got %d, want several", n)
	}
}

// Older files are read when they are asked for, and only so many are kept.
func TestOffsetsInMemoryAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.full = 5 << 10
	const entries = 3000
	for i := uint64(1); i <= entries; i += 50 {
		fill(t, l, i, i+49)
	}
	l.Close()
	if l, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := uint64(1); i <= entries; i++ {
		wantEntry(t, l, entry(i))
	}
	loaded := 0
	for _, s := range l.segments {
		if s.f != nil {
			loaded++
		}
	}
	if loaded > maxLoaded+1 || len(l.segments) < 2*maxLoaded {
		t.Errorf("open files: got %d of %d, want at most %d of many", loaded, len(l.segments), maxLoaded+1)
	}
}

func TestFirstFailureSticks(t *testing.T) {
	fs := newSimFS(1)
	l, err := open(fs, simDir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1, 3)
	fs.left = 1 // the write happens, the sync does not
	if err := l.StoreLog(entry(4)); !errors.Is(err, errPower) {
		t.Errorf("append without a sync: got %v, want %v", err, errPower)
	}
	fs.left = -1
	if err := l.StoreLog(entry(4)); !errors.Is(err, errPower) {
		t.Errorf("append after that: got %v, want %v", err, errPower)
	}
	if err := l.DeleteRange(2, 3); !errors.Is(err, errPower) {
		t.Errorf("cut after that: got %v, want %v", err, errPower)
	}
	wantEdges(t, l, 1, 3)
}

func TestWrongOrderIsRefused(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fill(t, l, 5, 9)
	for _, logs := range [][]*raft.Log{{entry(9)}, {entry(4)}, {entry(10), entry(12)}} {
		if err := l.StoreLogs(logs); err == nil {
			t.Errorf("append of %d: got no error", logs[0].Index)
		}
	}
	if err := l.DeleteRange(6, 7); err == nil {
		t.Error("delete from the middle: got no error")
	}
	wantEdges(t, l, 5, 9)
	fill(t, l, 10, 10)
}

func TestDamageIsNamed(t *testing.T) {
	const second = recordsAt + 64 // in the second of some records of 64 bytes
	tests := []struct {
		name, file string
		damage     func(buf []byte) []byte
		want       string // in the error; empty: none, and the last entry is gone
	}{
		{"flipped bit before later appends", "0000000000000001.seg", flip(second + 30), fmt.Sprintf("offset %d", second)},
		{"lost sector before later appends", "0000000000000001.seg", zero(second, 64), fmt.Sprintf("offset %d", second)},
		{"flipped bit in the last append", "0000000000000001.seg", flip(recordsAt + 9*64 + 30), ""},
		{"cut in the last append", "0000000000000001.seg", func(buf []byte) []byte { return buf[:recordsAt+9*64+40] }, ""},
		{"header", "0000000000000001.seg", flip(17), "checksum of the header"},
		{"empty file", "0000000000000001.seg", func([]byte) []byte { return nil }, "header"},
		{"not a segment", "0000000000000001.seg", func(buf []byte) []byte { return bytes.Repeat([]byte("garbage!"), len(buf)/8) }, "not a log segment"},
		{"both slots of the stable file", "stable", func(buf []byte) []byte { return make([]byte, len(buf)) }, "term and vote"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			l, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			for i := uint64(1); i <= 10; i++ {
				if err := l.StoreLog(&raft.Log{Index: i, Data: make([]byte, 64-recordHeader-entryFixed-1)}); err != nil {
					t.Fatal(err)
				}
			}
			l.Close()
			path := filepath.Join(dir, tt.file)
			buf, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(buf), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err = Open(dir)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("open: %v", err)
				}
				wantEdges(t, l, 1, 9)
				l.Close()
				return
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("open: got %v, want %v that names %s and says %q", err, ErrCorrupt, path, tt.want)
			}
		})
	}
}

func flip(at int) func([]byte) []byte {
	return func(buf []byte) []byte {
		buf[at] ^= 4
		return buf
	}
}

func zero(at, n int) func([]byte) []byte {
	return func(buf []byte) []byte {
		clear(buf[at : at+n])
		return buf
	}
}

// A bit that flips in an older file is found when the entry is read; one in a copy of the vote is made good.
func TestDamageBehindTheNewestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetUint64([]byte("term"), 7); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1, 10)
	l.full = 1
	fill(t, l, 11, 12)
	l.Close()
	for name, at := range map[string]int64{"0000000000000001.seg": recordsAt + 320, stableName: 2*stableCopy + 30} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("flip"), at); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if l, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n, err := l.GetUint64([]byte("term")); err != nil || n != 7 {
		t.Errorf("term: got %d, %v, want 7", n, err)
	}
	wantEntry(t, l, entry(12))
	var got raft.Log
	if err := l.GetLog(9, &got); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "0000000000000001.seg") {
		t.Errorf("entry of the damaged file: got %v, want %v that names it", err, ErrCorrupt)
	}
}

func TestLogWithoutItsVoteIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1, 3)
	l.Close()
	if err := os.Remove(filepath.Join(dir, stableName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), stableName) {
		t.Errorf("open: got %v, want %v that names the file", err, ErrCorrupt)
	}
}
