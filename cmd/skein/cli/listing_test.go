package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/node"
)

// command runs a command line and gives what it prints.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, fault bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&fault)
	err = root.ExecuteContext(t.Context())
	return out.String(), fault.String(), err
}

// halfDead writes the file of a mesh whose region eu answers with h and whose region us is dead.
func halfDead(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &meshfile.File{Service: "s", CAFile: "ca.pem", AdminTokenFile: "admin.token", Nodes: []meshfile.Node{
		{ID: "us-a-1", Region: "us", Zone: "a", Admin: "127.0.0.1:1"},
		{ID: "eu-a-1", Region: "eu", Zone: "a", Admin: strings.TrimPrefix(srv.URL, "http://")},
	}}
	path := filepath.Join(dir, "mesh.json")
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestListingsOfTheLiving(t *testing.T) {
	mesh := halfDead(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/sessions") {
			w.Write([]byte(`{"sessions":[{"session":"eu~one","subject":"dev","assistant":"shop"}]}`))
			return
		}
		w.Write([]byte(`{"regions":[{"region":"eu","local":true,"leaders":["eu-a-1"]},{"region":"us"}]}`))
	})
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"sessions"}, "eu~one   dev      shop"},
		{[]string{"sessions", "--json"}, `"session":"eu~one"`},
		{[]string{"regions"}, "eu      0      0 of 0  0         0       eu-a-1"},
	} {
		out, fault, err := command(t, append(tt.args, "--mesh", mesh)...)
		if err != nil || !strings.Contains(out, tt.want) {
			t.Errorf("%v: got %v\n%s\nwant %q", tt.args, err, out, tt.want)
		}
		if !strings.HasPrefix(fault, "skein: warning: region us: no node answers: ") || strings.Count(fault, "\n") != 1 {
			t.Errorf("%v: warned %q", tt.args, fault)
		}
	}
	if _, _, err := command(t, "sessions", "--region", "us", "--mesh", mesh); err == nil || !strings.Contains(err.Error(), "sessions: region us: no node answers") {
		t.Errorf("the dead region alone: got %v", err)
	}
}

func TestMovesAreTold(t *testing.T) {
	var out bytes.Buffer
	c := &chat{out: &out}
	from, to := client.Node{ID: "eu-a-1"}, client.Node{ID: "eu-b-1"}
	c.reportMove(client.Move{From: from, To: to})
	c.reportMove(client.Move{From: from, To: to, Took: 180 * time.Millisecond})
	if got, want := out.String(), "[moved eu-a-1 → eu-b-1]\n[moved eu-a-1 → eu-b-1 in 180 ms]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The command and a node of the same binary say the same about it.
func TestVersionIsTheNodes(t *testing.T) {
	out, _, err := command(t, "version", "--json")
	if err != nil {
		t.Fatal(err)
	}
	want := node.Build()
	got := want
	got.Version, got.Commit = "", ""
	if err := json.Unmarshal([]byte(out), &got); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got.Version == "" {
		t.Error("the build has no version")
	}
}

func TestAwaitRestart(t *testing.T) {
	for _, tt := range []struct {
		name, status string
		want         string
	}{
		{"ready", `{"ready":"ok","groups":[{"quorum":true}]}`, ""},
		{"alone", `{"ready":"no leader","groups":[{"quorum":true},{"quorum":false}]}`, "its region has no quorum yet"},
		{"draining", `{"ready":"draining","groups":[{"quorum":true},{"quorum":true}]}`, "it is not ready yet: draining"},
	} {
		o, addr := operatorFor(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(tt.status)) })
		r := restart{operator: o, node: meshfile.Node{ID: "n", Admin: addr}, alive: func() bool { return true }, grace: time.Millisecond}
		if got, err := r.await(t.Context()); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
		r.node.Admin, r.alive = "127.0.0.1:1", func() bool { return false }
		if _, err := r.await(t.Context()); err == nil || !strings.Contains(err.Error(), "it has ended") {
			t.Errorf("%s: a dead process: got %v", tt.name, err)
		}
	}
	o, _ := operatorFor(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (restart{operator: o, node: meshfile.Node{ID: skein.NodeID("n"), Admin: "127.0.0.1:1"}, alive: func() bool { return true }}).await(ctx); err == nil || err.Error() != "interrupted" {
		t.Errorf("interrupted: got %v", err)
	}
}

func TestFrame(t *testing.T) {
	if got, want := frame("abc\n鞋鞋鞋鞋\n", 3, 10), "\x1b[Habc\x1b[K\r\n鞋鞋鞋\x1b[K\r\n\x1b[J"; got != want {
		t.Errorf("cut: got %q, want %q", got, want)
	}
	got := frame("1\n2\n3\n4\n5\n", 80, 4)
	if strings.Count(got, "\n") != 3 || !strings.Contains(got, "2\x1b[K") || !strings.Contains(got, "... 3 more lines") {
		t.Errorf("five lines in a window of four: got %q", got)
	}
}
