package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/bench/logload"
)

// TestStores runs both for a moment: what they give back is checked by logload.
func TestStores(t *testing.T) {
	for name := range stores() {
		t.Run(name, func(t *testing.T) {
			plan, err := json.Marshal(logload.Plan{Dir: t.TempDir(), Appends: []int{1, 8}, Each: 1e6, Filled: 500})
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := run([]string{name, string(plan)}, &out); err != nil {
				t.Fatal(err)
			}
			var f logload.Figures
			if err := json.Unmarshal([]byte(out.String()), &f); err != nil {
				t.Fatal(err)
			}
			if len(f.Appends) != 2 || f.Appends[1].P50 <= 0 || f.Reopen <= 0 {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"":             "want the name of a store",
		"leveldb {}":   `store "leveldb": want raft-wal`,
		"raft-wal {":   "plan: ",
		"raft-wal {}":  "want at least 100",
		"raft-wal a b": "got 3 arguments",
	} {
		if err := run(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}
