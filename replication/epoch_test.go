package replication

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMeet(t *testing.T) {
	tests := []struct {
		name         string
		at, least    uint64 // of the one that is spoken to
		hello        hello
		feeds        bool
		want         greeting
		after, heard uint64 // its epochs then
	}{
		{"equal replicas", 5, 5, hello{5, 5}, true, agreed, 5, 5},
		{"an older one", 5, 5, hello{4, 4}, true, outdated, 5, 5},
		{"an older one asks", 5, 5, hello{4, 4}, false, outdated, 5, 5},
		{"a newer one", 5, 5, hello{6, 6}, true, behind, 5, 6},
		{"a newer one asks", 5, 5, hello{6, 6}, false, behind, 5, 6},
		{"one without state that heard of a newer", 5, 5, hello{0, 6}, false, behind, 5, 6},
		{"one without state asks", 5, 5, hello{0, 0}, false, agreed, 5, 5},
		{"one without state feeds", 5, 5, hello{0, 5}, true, stateless, 5, 5},
		{"an empty one is fed", 0, 0, hello{5, 5}, true, agreed, 5, 5},
		{"an empty one is asked", 0, 0, hello{5, 5}, false, agreed, 0, 5},
		{"an empty one that was set aside", 0, 6, hello{5, 5}, true, outdated, 0, 6},
		{"an empty one that was set aside, the newer", 0, 6, hello{7, 7}, true, agreed, 7, 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			e := &epochs{dir: dir, at: tt.at, least: tt.least}
			got, err := e.meet(tt.hello, tt.feeds)
			at, least := e.get()
			if err != nil || got != tt.want || at != tt.after || least != tt.heard {
				t.Errorf("got %d, epochs %d %d, %v; want %d, %d %d", got, at, least, err, tt.want, tt.after, tt.heard)
			}
			if at != tt.at { // it is durable
				if again, err := readEpochs(dir, true); err != nil || again.at != at {
					t.Errorf("read again: %+v, %v", again, err)
				}
			}
		})
	}
}

func TestNextEpoch(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for _, tt := range []struct{ old, want uint64 }{{1, 1_800_000_000_000}, {1_800_000_000_000, 1_800_000_000_001}, {1_900_000_000_000, 1_900_000_000_001}} {
		if got := NextEpoch(tt.old, now); got != tt.want {
			t.Errorf("behind %d: got %d, want %d", tt.old, got, tt.want)
		}
	}
	if got := NextEpoch(1, time.Time{}); got != 2 {
		t.Errorf("with a clock before 1970: got %d, want 2", got)
	}
}

func TestEpochFile(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		data string
		ok   bool
	}{
		{string(encodeEpochs(3, 7)), true},
		{strings.Replace(string(encodeEpochs(3, 7)), "7", "8", 1), false},
		{string(encodeEpochs(8, 7)), false},
		{string(encodeEpochs(3, 7)) + "x", false},
		{"", false},
		{"5", false},
	} {
		if err := os.WriteFile(filepath.Join(dir, epochFile), []byte(tt.data), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := readEpochs(dir, true)
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, errCorrupt) || tt.ok && (e.at != 3 || e.least != 7) {
			t.Errorf("%q: got %+v, %v", tt.data, e, err)
		}
	}
}

func FuzzEpochFile(f *testing.F) {
	f.Add(encodeEpochs(3, 7))
	f.Add([]byte("skein cluster epoch 1\nstate 99999999999999999999\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if at, least, err := decodeEpochs(data); err == nil && string(encodeEpochs(at, least)) != string(data) {
			t.Errorf("%q is taken for %d %d", data, at, least)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(hello{1, 2}.encode(agreed))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, v, err := readHello(strings.NewReader(string(data)))
		if err == nil && string(h.encode(v)) != string(data[:helloSize]) {
			t.Errorf("%x is taken for %+v %d", data, h, v)
		}
	})
}
