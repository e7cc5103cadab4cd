package skein_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
)

func TestTurnID(t *testing.T) {
	long := strings.Repeat("x", skein.MaxName)
	for in, want := range map[string]skein.TurnID{
		"a:1":                             {Client: "a", Counter: 1},
		"key.3f-9_Z:18446744073709551615": {Client: "key.3f-9_Z", Counter: 1<<64 - 1},
		long + ":7":                       {Client: skein.ClientID(long), Counter: 7},
	} {
		got, err := skein.ParseTurnID(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a", ":1", "a:", "a:0", "a:-1", "a:+1", "a:1:1", "a b:1", "a:18446744073709551616", "é:1", long + "x:1"} {
		if _, err := skein.ParseTurnID(in); err == nil || skein.CodeOf(err) != skein.CodeMalformed {
			t.Errorf("%q: %v, want malformed", in, err)
		}
	}
}

func FuzzParseTurnID(f *testing.F) {
	for _, s := range []string{"a:1", "a:01", "a:0", ":", "a:b:1", "a:9999999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := skein.ParseTurnID(s)
		if err != nil {
			return
		}
		if back, err := skein.ParseTurnID(id.String()); err != nil || back != id {
			t.Errorf("%q became %v and then %v, %v", s, id, back, err)
		}
	})
}

func TestSessionID(t *testing.T) {
	tests := []struct {
		id           skein.SessionID
		region, name string
		ok           bool
	}{
		{"eu~k3v9x2", "eu", "k3v9x2", true},
		{skein.Session("us", "a.b-c_D"), "us", "a.b-c_D", true},
		{"k3v9x2", "", "k3v9x2", false},
		{"", "", "", false},
		{"~x", "", "x", false},
		{"eu~", "eu", "", false},
		{"eu~a~b", "eu", "a~b", false},
		{"eu~a b", "eu", "a b", false},
		{"eu~鞋", "eu", "鞋", false},
		{skein.Session("eu", strings.Repeat("x", skein.MaxName)), "eu", strings.Repeat("x", skein.MaxName), true},
		{skein.Session("eu", strings.Repeat("x", skein.MaxName+1)), "eu", strings.Repeat("x", skein.MaxName+1), false},
	}
	for _, tt := range tests {
		region, name := tt.id.Split()
		if string(region) != tt.region || name != tt.name {
			t.Errorf("%.80q: region %q, name %q, want %q, %q", tt.id, region, name, tt.region, tt.name)
		}
		err := tt.id.Validate()
		if (err == nil) != tt.ok || err != nil && skein.CodeOf(err) != skein.CodeMalformed {
			t.Errorf("%.80q: %v, want ok: %t", tt.id, err, tt.ok)
		}
	}
}

func TestRandomName(t *testing.T) {
	a, b := skein.RandomName(), skein.RandomName()
	if a == b || !skein.ValidName(a) || len(a) != 13 {
		t.Errorf("names %q and %q: want two that differ, of 13 valid characters", a, b)
	}
}

func TestErrors(t *testing.T) {
	err := fmt.Errorf("send turn a:1: %w", skein.Fault(skein.CodeNoQuorum, "%d of %d", 1, 3))
	if !errors.Is(err, skein.ErrNoQuorum) || errors.Is(err, skein.ErrOverloaded) || errors.Is(err, io.EOF) {
		t.Errorf("%v: want it to be no_quorum and nothing else", err)
	}
	var e *skein.Error
	if !errors.As(err, &e) || e.Detail != "1 of 3" {
		t.Errorf("%v: got %+v, want the detail", err, e)
	}
	if got, want := err.Error(), "send turn a:1: no_quorum: 1 of 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := skein.ErrNoQuorum.Error(), "no_quorum"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := skein.CodeOf(io.EOF); got != skein.CodeInternal {
		t.Errorf("a foreign error has code %s, want internal", got)
	}
	if got := skein.CodeOf(err); got != skein.CodeNoQuorum {
		t.Errorf("code %s, want no_quorum", got)
	}
}

// TestCodes pins what crosses the wire: clients know these numbers and names.
func TestCodes(t *testing.T) {
	want := []string{"internal", "malformed", "unsupported_version", "too_large", "unauthenticated", "token_expired", "forbidden",
		"unknown_session", "unknown_assistant", "turn_conflict", "reply_expired", "turn_open", "turn_dead", "rate_limited", "overloaded",
		"no_quorum", "home_unreachable", "draining", "storage_full", "conflict", "fenced", "unknown_outcome", "too_many_clients",
		"unknown_node", "refused", "session_closed", "session_gone"}
	retry := "internal turn_open rate_limited overloaded no_quorum home_unreachable draining storage_full unknown_outcome"
	seen := map[string]bool{}
	for i, name := range want {
		c := skein.Code(i + 1)
		if got := c.String(); got != name || seen[got] {
			t.Errorf("code %d is %q, want %q, once", i+1, got, name)
		}
		seen[c.String()] = true
		if got := strings.Contains(" "+retry+" ", " "+name+" "); c.Retry() != got {
			t.Errorf("%s: retry %t, want %t", c, c.Retry(), got)
		}
	}
	if got := skein.Code(len(want) + 1).String(); got != fmt.Sprintf("code_%d", len(want)+1) {
		t.Errorf("there is a code %q that this test does not know", got)
	}
}
