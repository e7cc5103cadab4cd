package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
)

func TestFillNames(t *testing.T) {
	f := fill{region: "eu", seed: "s", text: 300}
	if got, want := f.id(17), "eu~s-17"; got != want {
		t.Errorf("id: got %s, want %s", got, want)
	}
	if err := skein.SessionID(f.id(maxFillSessions)).Validate(); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for n := range 100 {
		for k := 1; k <= 3; k++ {
			text := f.message(n, k)
			if len(text) != 300 || text != f.message(n, k) || seen[text] {
				t.Fatalf("session %d, turn %d: %d bytes, twice %v", n, k, len(text), seen[text])
			}
			if !strings.HasPrefix(text, benchMessage(n, k-1)) {
				t.Errorf("session %d, turn %d does not ask its question: %q", n, k, text)
			}
			seen[text] = true
		}
	}
	f.text = 1
	if got, want := f.message(0, 1), benchMessage(0, 0); got != want {
		t.Errorf("a question is cut: got %q, want %q", got, want)
	}
}

// TestFillGoesOn finds the place behind which an interrupted run left gaps, wherever they are.
func TestFillGoesOn(t *testing.T) {
	const all = 1000
	for _, tt := range []struct {
		name string
		made func(n int) bool
		gap  int // the first session that is missing; all that exist are less than room behind it
	}{
		{"none", func(int) bool { return false }, 0},
		{"all", func(int) bool { return true }, all},
		{"some", func(n int) bool { return n < 333 }, 333},
		{"holes at the end", func(n int) bool { return n < 500 || n < 560 && n%2 == 0 }, 501},
	} {
		const room = 60
		got, err := boundary(all, func(n int) (bool, error) { return tt.made(n), nil })
		if err != nil || got-room > tt.gap || got < tt.gap {
			t.Errorf("%s: got %d, %v, want %d to %d", tt.name, got, err, tt.gap, tt.gap+room)
		}
	}
	broken := errors.New("no node answers")
	if _, err := boundary(all, func(int) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
