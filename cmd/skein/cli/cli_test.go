package cli

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

func TestSummarize(t *testing.T) {
	var all []time.Duration
	for i := 100; i >= 1; i-- { // unsorted
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	tests := []struct {
		name   string
		all    []time.Duration
		failed int
		want   benchResult
	}{
		{"hundred", all, 3, benchResult{Turns: 100, Errors: 3, PerSecond: 10, P50: 50, P95: 95, P99: 99}},
		{"one", []time.Duration{1500 * time.Microsecond}, 0, benchResult{Turns: 1, PerSecond: 0.1, P50: 1.5, P95: 1.5, P99: 1.5}},
		{"none", nil, 7, benchResult{Errors: 7}},
		{"two", []time.Duration{4 * time.Millisecond, 2 * time.Millisecond}, 0, benchResult{Turns: 2, PerSecond: 0.2, P50: 2, P95: 4, P99: 4}},
	}
	for _, tt := range tests {
		if got := summarize(tt.all, tt.failed, 10*time.Second); *got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, *got, tt.want)
		}
	}
}

func TestBenchMessages(t *testing.T) {
	seen := map[string]bool{}
	for n := range 12 {
		seen[benchMessage(0, n)] = true
	}
	for _, conv := range benchConversations {
		if len(conv) != len(benchConversations[0]) {
			t.Errorf("%v: want conversations of one length", conv)
		}
		for _, m := range conv {
			if !seen[m] {
				t.Errorf("%q never comes within 12 turns", m)
			}
		}
	}
	if benchMessage(0, 0) == benchMessage(1, 0) {
		t.Error("sessions begin alike")
	}
}

func TestRemember(t *testing.T) {
	state := t.TempDir()
	ca := []byte("ca one")
	m, err := remember(state, ca, "demo")
	if err != nil {
		t.Fatal(err)
	}
	first := m.Client
	if m.Session != "" || !skein.ValidName(string(first)) {
		t.Errorf("fresh: got %+v", m)
	}
	if err := m.opened("eu~demo"); err != nil {
		t.Fatal(err)
	}
	// A second process at the same time knows the session but is another client.
	other, err := remember(state, ca, "demo")
	if err != nil {
		t.Fatal(err)
	}
	if other.Session != "eu~demo" || other.Client == first {
		t.Errorf("beside the first: got %s as %s", other.Session, other.Client)
	}
	if err := other.opened("us~demo"); err != nil { // without the lock it must not write
		t.Fatal(err)
	}
	other.close()
	m.close()
	again, err := remember(state, ca, "demo")
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if again.Session != "eu~demo" || again.Client != first {
		t.Errorf("afterwards: got %s as %s, want eu~demo as %s", again.Session, again.Client, first)
	}
	foreign, err := remember(state, []byte("ca two"), "demo")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.close()
	if foreign.Session != "" {
		t.Errorf("another mesh knows %s", foreign.Session)
	}
}

func TestRememberSurvivesDamage(t *testing.T) {
	for _, damage := range []string{"", "{", `{"session":"nowhere","client":"c"}`, `{"session":"eu~a","client":"a b"}`, "\x00"} {
		state := t.TempDir()
		m, err := remember(state, nil, "demo")
		if err != nil {
			t.Fatal(err)
		}
		m.close()
		if err := os.WriteFile(m.path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err = remember(state, nil, "demo")
		if err != nil || m.Session != "" || !skein.ValidName(string(m.Client)) {
			t.Errorf("%q: got %+v, %v", damage, m, err)
		}
		m.close()
	}
}

func operatorFor(t *testing.T, h http.HandlerFunc) (*operator, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	addr := strings.TrimPrefix(srv.URL, "http://")
	token := filepath.Join(t.TempDir(), "admin.token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := newOperator(&meshfile.File{AdminTokenFile: token, Nodes: []meshfile.Node{
		{ID: "dead", Region: "eu", Zone: "a", Admin: "127.0.0.1:1"},
		{ID: "alive", Region: "eu", Zone: "b", PID: 1, Admin: addr},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.http.CloseIdleConnections)
	return o, addr
}

func TestOperatorAsksTheLiving(t *testing.T) {
	o, _ := operatorFor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("authorization: got %q", r.Header.Get("Authorization"))
		}
		w.Write([]byte(`{"regions":[{"region":"eu","local":true,"leader":"alive","voters":3}]}`))
	})
	list, err := allRegions(t.Context(), o)
	if err != nil || len(list) != 1 || list[0].Leader != "alive" || list[0].Voters != 3 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestOperatorKeepsCodes(t *testing.T) {
	o, _ := operatorFor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"error":{"code":"unauthenticated","number":5,"message":"no"}}`))
	})
	var out admin.Status
	err := o.any(t.Context(), everyNode, "/debug/status", &out)
	if e, ok := errors.AsType[*skein.Error](err); !ok || e.Code != skein.CodeUnauthenticated {
		t.Errorf("got %v, want code 5", err)
	}
}

func TestPrintMembers(t *testing.T) {
	var b bytes.Buffer
	err := printMembers(&b, []admin.Member{
		{Node: "eu-a-1", Region: "eu", Zone: "a", Status: "alive", Voter: true, Leads: 3, Load: 0.25, RTT: 1.25, QUIC: []string{"127.0.1.1:8443"}},
		{Node: "eu-b-1", Region: "eu", Zone: "b", Status: "dead", Draining: true},
	})
	want := "NODE    REGION  ZONE  STATUS          VOTER  LEADS  LOAD  RTT     QUIC\n" +
		"eu-a-1  eu      a     alive           yes    3      0.25  1.2 ms  127.0.1.1:8443\n" +
		"eu-b-1  eu      b     dead, draining  no     -      0.00  -       -\n"
	if err != nil || b.String() != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	if got, want := printable("a\x1b[2Jb\r\n鞋\u009b\tc"), "a[2Jb\n鞋\tc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOneLine(t *testing.T) {
	if got, want := oneLine(errors.Join(errors.New("a"), errors.New("b"))), "a; b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
