package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStoreFlags(t *testing.T) {
	for _, tt := range []struct {
		args    string
		clients []int
		measure time.Duration
		json    bool
	}{
		{"", []int{1, 64, 512}, 5 * time.Second, false},
		{"--clients 7", []int{7}, 5 * time.Second, false},
		{"--seconds 30 --json", []int{1, 64, 512}, 30 * time.Second, true},
		{"-clients=512 -seconds=1", []int{512}, time.Second, false},
	} {
		cfg, asJSON, err := storeFlags(strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		if !slices.Equal(cfg.Clients, tt.clients) || cfg.Measure != tt.measure || asJSON != tt.json {
			t.Errorf("%q: got %v, %v, %v, want %v, %v, %v", tt.args, cfg.Clients, cfg.Measure, asJSON, tt.clients, tt.measure, tt.json)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "usage"},
		{"stare", "usage"},
		{"store --clients 0", "want 1 to 4096"},
		{"store --clients -3", "want 1 to 4096"},
		{"store --clients 4097", "want 1 to 4096"},
		{"store --clients x", "invalid value"},
		{"store --seconds 0", "want 1 to 3600"},
		{"store --fast", "not defined"},
		{"store now", `"now" is not a flag`},
		{"nlu", "-data: want the folder"},
		{"nlu -data d now", `"now" is not a flag`},
		{"nlu -fast", "not defined"},
		{"logs --rounds 0", "want 1 to 101"},
		{"logs --seconds -1", "want 1 to 3600"},
		{"logs --raftwal=", "want the directory"},
		{"logs all", `"all" is not a flag`},
	} {
		var out, progress strings.Builder
		err := run(t.Context(), strings.Fields(tt.args), &out, &progress)
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.args, err, tt.want)
		}
		if out.Len() > 0 {
			t.Errorf("%q wrote %q to its output", tt.args, out.String())
		}
	}
}
