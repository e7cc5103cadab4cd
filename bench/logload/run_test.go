package logload

import (
	"errors"
	"strings"
	"testing"
	"time"
)

type entry struct {
	index uint64
	data  []byte
}

// shelf keeps entries in memory, across openings; fault spoils what it does.
type shelf struct {
	entries map[uint64][]byte
	first   uint64
	last    uint64
	fault   string
}

func (s *shelf) FirstIndex() (uint64, error) { return s.first, nil }
func (s *shelf) LastIndex() (uint64, error)  { return s.last, nil }
func (s *shelf) Close() error                { return nil }

func (s *shelf) SetUint64([]byte, uint64) error {
	if s.fault == "term" {
		return errors.New("the term is refused")
	}
	return nil
}

func (s *shelf) GetLog(i uint64, e *entry) error {
	e.data = s.entries[i]
	if s.fault == "read" {
		e.data = s.entries[i+1]
	}
	return nil
}

func (s *shelf) StoreLogs(entries []*entry) error {
	for _, e := range entries {
		s.entries[e.index], s.last = e.data, e.index
	}
	return nil
}

func (s *shelf) DeleteRange(low, high uint64) error {
	switch {
	case s.fault == "cut":
	case low <= s.first:
		s.first = high + 1
	default:
		s.last = low - 1
	}
	return nil
}

func TestRun(t *testing.T) {
	for _, tt := range []struct{ fault, want string }{
		{"", ""},
		{"term", "store the term: the term is refused"},
		{"read", "is not what was written"},
		{"cut", "after the cuts it holds 1 to 300, want 151 to 297"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			shelves := map[string]*shelf{}
			open := func(dir string) (Store, error) {
				if shelves[dir] == nil {
					shelves[dir] = &shelf{entries: map[uint64][]byte{}, first: 1, fault: tt.fault}
				}
				return Adapt[entry](shelves[dir], Entry[entry]{
					Make: func(i uint64, data []byte) *entry { return &entry{i, data} },
					Data: func(e *entry) []byte { return e.data }}), nil
			}
			f, err := Run(open, Plan{Dir: t.TempDir(), Appends: []int{1, 8}, Each: time.Millisecond, Filled: 300})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Appends) != 2 || f.Appends[1].Entries != 8 || f.Appends[0].P50 <= 0 || f.Reopen <= 0 || f.CutFront <= 0 {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestRank(t *testing.T) {
	sorted := []time.Duration{1, 2, 3, 4}
	for percent, want := range map[float64]time.Duration{1: 1, 50: 2, 51: 3, 99: 4, 100: 4} {
		if got := rank(sorted, percent); got != want {
			t.Errorf("%v %%: got %v, want %v", percent, got, want)
		}
	}
	if got := rank(nil, 50); got != 0 {
		t.Errorf("of none: got %v", got)
	}
}
