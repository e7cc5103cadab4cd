package seglog

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// TestBadStretchKeepsTheVote: no stretch of two copies' length brings an older value back.
func TestBadStretchKeepsTheVote(t *testing.T) {
	for generations := uint64(1); generations <= 4; generations++ {
		for at := int64(0); at+2*stableCopy <= stableSize; at += stableCopy / 2 {
			dir := filepath.Join(t.TempDir(), "log")
			l, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			for n := uint64(1); n <= generations; n++ {
				if err := l.SetUint64([]byte("term"), n); err != nil {
					t.Fatal(err)
				}
			}
			l.Close()
			damageStable(t, dir, make([]byte, 2*stableCopy), at)
			wantTerm(t, dir, generations)
		}
	}
}

// TestStableIsMended: after one copy was lost and the file opened, the other may go.
func TestStableIsMended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 3; n++ {
		if err := l.SetUint64([]byte("term"), n); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	for _, at := range copiesAt(3) {
		damageStable(t, dir, make([]byte, stableCopy), at)
		wantTerm(t, dir, 3)
	}
}

// TestStableOfAnOlderBuild: the copies of a slot side by side.
func TestStableOfAnOlderBuild(t *testing.T) {
	for newer := range 2 {
		dir := filepath.Join(t.TempDir(), "log")
		l, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		for slot := range 2 {
			s := &stable{values: map[string][]byte{"term": binary.BigEndian.AppendUint64(nil, 7)}}
			generation := uint64(4 + slot)
			if slot != newer {
				s.values["term"] = binary.BigEndian.AppendUint64(nil, 6)
				generation -= 2
			}
			one := s.encode(generation)
			damageStable(t, dir, append(one, one...), int64(slot)*2*stableCopy)
		}
		wantTerm(t, dir, 7)
		damageStable(t, dir, make([]byte, 2*stableCopy), 0)
		wantTerm(t, dir, 7)
	}
}

// damageStable writes over the stable file of a log that is closed.
func damageStable(t *testing.T, dir string, content []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, stableName), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, at); err != nil {
		t.Fatal(err)
	}
}

// wantTerm opens the log, looks at the term and closes it.
func wantTerm(t *testing.T, dir string, want uint64) {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer l.Close()
	if got, err := l.GetUint64([]byte("term")); err != nil || got != want {
		t.Errorf("term: got %d, %v, want %d", got, err, want)
	}
}
