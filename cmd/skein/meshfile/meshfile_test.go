package meshfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func sample(pid int) *File {
	return &File{Service: "assistant.skein.test", CAFile: "ca.pem", TokenFile: "token", AdminTokenFile: "admin.token",
		Nodes: []Node{{ID: "eu-a-1", Region: "eu", Zone: "a", PID: pid, QUIC: "127.0.1.1:8443", HTTPS: "127.0.1.1:8443",
			DNS: "127.0.1.1:8053", Admin: "127.0.1.1:8080"}}}
}

func TestShapeOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh.json")
	if err := sample(7).Write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer(" ", "", "\n", "").Replace(string(data))
	want := `{"service":"assistant.skein.test","ca_file":"ca.pem","token_file":"token","admin_token_file":"admin.token",` +
		`"nodes":[{"id":"eu-a-1","region":"eu","zone":"a","pid":7,"quic":"127.0.1.1:8443","https":"127.0.1.1:8443",` +
		`"dns":"127.0.1.1:8053","admin":"127.0.1.1:8080"}]}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(path), "ca.pem"); f.CAFile != want {
		t.Errorf("relative path: got %s, want %s", f.CAFile, want)
	}
}

// A reader that races with writers sees whole files only.
func TestWriteIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh.json")
	if err := sample(1).Write(path); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := range 50 {
				if err := sample(1 + w + i).Write(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for reads := 0; ; reads++ {
		if f, err := Read(path); err != nil || f.Nodes[0].PID == 0 {
			t.Fatalf("read %d: %v", reads, err)
		}
		select {
		case <-done:
			left, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(left) != 1 {
				t.Errorf("files left: %v, %v; want mesh.json only", left, err)
			}
			return
		default:
		}
	}
}

func TestParseRefuses(t *testing.T) {
	node := `{"id":"eu-a-1","region":"eu","zone":"a","quic":"127.0.1.1:8443"}`
	head := `{"service":"s","ca_file":"ca.pem","nodes":[`
	tests := []struct{ name, data, want string }{
		{"empty", "", "not a mesh: EOF"},
		{"broken", "{\n\"service\": \"s\",\n}", "line 3"},
		{"list", "[]", "not a mesh"},
		{"no service", `{}`, `"service" is missing`},
		{"no ca", `{"service":"s"}`, `"ca_file" is missing`},
		{"no nodes", head + `]}`, `"nodes" is empty`},
		{"twice", head + node + "," + node + `]}`, "listed twice"},
		{"bad id", head + `{"id":"a b","region":"eu","zone":"a"}]}`, "no names"},
		{"bad address", head + `{"id":"x","region":"eu","zone":"a","quic":"localhost"}]}`, "want IP:PORT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Parse([]byte(head + node + `]}`)); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"service":"s","ca_file":"c","nodes":[{"id":"a","region":"eu","zone":"a","quic":"[::1]:1"}]}`))
	f.Add([]byte(`{"nodes":[{}]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Parse(data); err == nil && (m.Service == "" || len(m.Nodes) == 0) {
			t.Errorf("accepted %q", data)
		}
	})
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if _, held := Held(path); held {
		t.Error("a file that does not exist is held")
	}
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if pid, held := Held(path); !held || pid != os.Getpid() {
		t.Errorf("got %d %v, want %d true", pid, held, os.Getpid())
	}
	_, err = Acquire(path)
	if e, ok := errors.AsType[*HeldError](err); !ok || e.PID != os.Getpid() {
		t.Errorf("second: got %v, want a HeldError with %d", err, os.Getpid())
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Acquire(path)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again.Release()
}

func TestLocate(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	t.Setenv(Env, "")
	if _, err := Locate(""); err == nil || !strings.Contains(err.Error(), "skein dev") {
		t.Errorf("nothing there: got %v", err)
	}
	dir, err := StateDir()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range 3 {
		r := Record{Mesh: fmt.Sprintf("/m%d/mesh.json", i), Lock: filepath.Join(t.TempDir(), "lock"), Started: now.Add(time.Duration(i) * time.Second)}
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			continue // the newest is dead
		}
		l, err := Acquire(r.Lock)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
	}
	if got, err := Locate(""); err != nil || got != "/m1/mesh.json" {
		t.Errorf("newest living: got %q, %v", got, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "meshes")); err != nil || len(left) != 2 {
		t.Errorf("records left: %d, %v; want 2", len(left), err)
	}
	t.Setenv(Env, "/env.json")
	if got, _ := Locate(""); got != "/env.json" {
		t.Errorf("environment: got %q", got)
	}
	if got, _ := Locate("/flag.json"); got != "/flag.json" {
		t.Errorf("flag: got %q", got)
	}
}
