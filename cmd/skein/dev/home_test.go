package dev

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/config"
)

func openTestHome(t *testing.T, dir string) *home {
	t.Helper()
	h, err := openHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHomeIsPrivateAndLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	h := openTestHome(t, dir)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode: got %v, %v; want 0700", info.Mode().Perm(), err)
	}
	if _, err := openHome(dir); err == nil || !strings.Contains(err.Error(), "with pid") || strings.Contains(err.Error(), "\n") {
		t.Errorf("second: got %v, want one line with the pid", err)
	}
	if kept, err := h.close(); !kept || err != nil {
		t.Errorf("close: got %v, %v", kept, err)
	}
	openTestHome(t, dir).close()
}

func TestHomeRefusesForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openHome(dir); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(dir, "thesis.tex")
	if _, err := openHome(file); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestTemporaryHomeIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	h := openTestHome(t, "")
	if kept, err := h.close(); kept || err != nil {
		t.Errorf("close: got %v, %v", kept, err)
	}
	if _, err := os.Stat(h.dir); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func testSupervisor(t *testing.T, opts Options) *supervisor {
	t.Helper()
	opts.Stderr, opts.Stdout = new(bytes.Buffer), new(bytes.Buffer)
	opts.Command, opts.Getenv = "skein", func(string) string { return "" }
	plan, err := parseRegions(opts.Regions)
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{opts: opts, home: openTestHome(t, t.TempDir()), plan: plan, nodes: map[skein.NodeID]*child{}}
	t.Cleanup(func() { s.home.close() })
	if s.at, err = assign(plan, DefaultPorts, false); err != nil {
		t.Fatal(err)
	}
	return s
}

// What dev writes is what the agent reads.
func TestNodeFileLoads(t *testing.T) {
	s := testSupervisor(t, Options{Regions: "eu=a,b,c;us=a,b;no=a", Assistant: "/a b.yaml", Watch: true, Model: "http://127.0.0.1:8000/v1", NoTakeover: true})
	if err := s.home.keys(s.plan, s.at); err != nil {
		t.Fatal(err)
	}
	prefixes, err := s.plan.prefixes("")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.configure(prefixes); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.home.nodePath("no-a-1", "skein.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Node != "no-a-1" || c.Region != "no" || !c.NoTakeover || !c.AssistantWatch || c.AssistantFile != "/a b.yaml" || c.Model.URL == "" || c.Service != Service {
		t.Errorf("got %+v", c)
	}
	c, err = config.Load(s.home.nodePath("eu-b-1", "skein.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := netip.MustParseAddrPort("127.0.1.2:8443"); c.Listen.Client != want {
		t.Errorf("client: got %s, want %s", c.Listen.Client, want)
	}
	if want := []skein.NodeID{"eu-a-1", "eu-b-1", "eu-c-1"}; !slices.Equal(c.Voters, want) {
		t.Errorf("voters: got %v, want %v", c.Voters, want)
	}
	if len(c.Seeds) != 2 || slices.Contains(c.Seeds, c.Listen.Gossip) || len(c.Abroad) != 3 {
		t.Errorf("seeds %v, abroad %v; want 2 others of the region and 3 voters of other regions", c.Seeds, c.Abroad)
	}
	if len(c.Geo.Prefixes) != 3 || c.Geo.Coordinates["eu"].Latitude != 50.11 || len(c.Geo.Coordinates) != 2 {
		t.Errorf("geo: got %+v", c.Geo)
	}
	for _, path := range []string{c.Files.CA, c.Files.Cert, c.Files.Key, c.Files.ServiceCert, c.Files.ServiceKey, c.Files.Secret, c.Files.TokenKey, c.Files.AdminToken} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestKeysAreKept(t *testing.T) {
	s := testSupervisor(t, Options{Regions: "eu=a"})
	files := []string{"ca.pem", "ca.key", "secret", "admin.token", "token", "token.key", "token.pub", "nodes/eu-a-1/node.key", "nodes/eu-a-1/service.pem"}
	read := func() map[string]string {
		if err := s.home.keys(s.plan, s.at); err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, f := range files {
			data, err := os.ReadFile(s.home.path(f))
			if err != nil {
				t.Fatal(err)
			}
			all[f] = string(data)
		}
		return all
	}
	first, second := read(), read()
	for _, f := range files {
		if first[f] != second[f] {
			t.Errorf("%s has changed", f)
		}
	}
	for _, f := range []string{"ca.key", "token.key", "secret", "admin.token", "nodes/eu-a-1/node.key", "nodes/eu-a-1/service.key"} {
		if info, err := os.Stat(s.home.path(f)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", f, info.Mode().Perm(), err)
		}
	}
	// Another address needs another certificate for clients, and nothing else.
	moved, err := assign(s.plan, DefaultPorts, true)
	if err != nil {
		t.Fatal(err)
	}
	s.at = moved
	third := read()
	if third["nodes/eu-a-1/service.pem"] == first["nodes/eu-a-1/service.pem"] || third["ca.pem"] != first["ca.pem"] {
		t.Error("want a new service certificate from the same CA")
	}
}

func TestTableAndNextSteps(t *testing.T) {
	s := testSupervisor(t, Options{Regions: "eu=a,b"})
	var out bytes.Buffer
	s.opts.Stdout = &out
	if err := s.announce(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"NODE    REGION  ZONE  PID  QUIC, HTTPS     DNS             ADMIN",
		"eu-a-1  eu      a     0    127.0.1.1:8443  127.0.1.1:8053  127.0.1.1:8080",
		"does not survive the loss of a zone",
		"\nskein chat\n",
		"\nexport SKEIN_MESH=" + s.home.dir + "/mesh.json\n",
		"dig +short @127.0.1.1 -p 8053 assistant.skein.test +subnet=192.0.2.0/24",
		"\nskein dev kill eu-a-1\n",
		"--resolve assistant.skein.test:8443:127.0.1.1",
		`-d '{"id":"curl:1","text":"where is my order SO10021"}'`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	s.opts.Getenv = func(k string) string { return map[string]string{"LANG": "zh_CN.UTF-8"}[k] }
	out.Reset()
	if err := s.announce(); err != nil || !strings.Contains(out.String(), "skein chat --session demo -m '我的订单SO10021到哪了'") {
		t.Errorf("Chinese: %v\n%s", err, out.String())
	}
	s.opts.JSON = true
	out.Reset()
	if err := s.announce(); err != nil || strings.Count(out.String(), "\n") != 1 || !strings.HasPrefix(out.String(), `{"mesh":"`+s.home.dir+`/mesh.json","pid":`) {
		t.Errorf("JSON: %v\n%s", err, out.String())
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"/a/b-c.d": "/a/b-c.d", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$(x)": "'$(x)'", "鞋": "'鞋'", "~": "'~'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestControlOnALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	requests, served := make(chan request), make(chan struct{})
	go func() { defer close(served); serveControl(ctx, ln, requests) }()
	go func() {
		for req := range requests {
			if req.Node == "gone" {
				req.answer <- response{Error: "it is dead already"}
			} else {
				req.answer <- response{PID: 42}
			}
		}
	}()
	mesh := filepath.Join(dir, "mesh.json")
	if pid, err := Kill(ctx, mesh, "eu-a-1"); err != nil || pid != 42 {
		t.Errorf("kill: got %d, %v", pid, err)
	}
	if _, err := Restart(ctx, mesh, "gone"); err == nil || !strings.Contains(err.Error(), "restart gone: it is dead already") {
		t.Errorf("restart: got %v", err)
	}
	cancel()
	<-served
	close(requests)
	if _, err := Kill(t.Context(), mesh, "eu-a-1"); err == nil || !strings.Contains(err.Error(), "no dev mesh runs") {
		t.Errorf("after the end: got %v", err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add("{\"op\":\"kill\",\"node\":\"eu-a-1\"}\n")
	f.Add("{}\n")
	f.Add("kill")
	f.Fuzz(func(t *testing.T, s string) {
		if req, err := decodeRequest(strings.NewReader(s)); err == nil && req.Op != "kill" && req.Op != "restart" {
			t.Errorf("%q gives %+v", s, req)
		}
	})
}

func TestLifeline(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go WatchLifeline(t.Context(), r, func() { close(gone) })
	w.Close()
	<-gone

	r, w, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); WatchLifeline(ctx, r, func() { t.Error("the other end is open") }) }()
	cancel()
	<-done
	t.Setenv(lifelineEnv, "stdin")
	if _, err := Lifeline(); err == nil {
		t.Error("a descriptor that is no number was taken")
	}
}

func TestUnderGoRun(t *testing.T) {
	for path, want := range map[string]bool{"/tmp/go-build123/b001/exe/skein": true, "/tmp/go-build123/b001/dev.test": false,
		"/home/a/.cache/go-build/de/" + strings.Repeat("0f", 32) + "-d/skein": true, "/cache/0f/" + strings.Repeat("0f", 32) + "-d/skein": true,
		"/cache/0f/" + strings.Repeat("0f", 32) + "-d": false, "/usr/local/bin/skein": false, "/home/a/exe/skein": false} {
		if got := UnderGoRun(path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

func TestWipeRefuses(t *testing.T) {
	dir := t.TempDir()
	mesh := filepath.Join(dir, "mesh.json")
	data := filepath.Join(dir, "nodes", "eu-a-1", "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node := func(pid int) string {
		return fmt.Sprintf(`{"service":"s.test","ca_file":"ca.pem","nodes":[{"id":"eu-a-1","region":"eu","zone":"a","pid":%d,"quic":"127.0.0.1:1"}]}`, pid)
	}
	write(mesh, node(0))
	if err := Wipe(mesh, "eu-a-1"); err == nil || !strings.Contains(err.Error(), "is not of a dev mesh") {
		t.Errorf("another mesh: got %v", err)
	}
	write(filepath.Join(dir, planFile), "{}")
	write(mesh, node(17))
	if err := Wipe(mesh, "eu-a-1"); err == nil || !strings.Contains(err.Error(), "kill it first") {
		t.Errorf("a node that runs: got %v", err)
	}
	if _, err := os.Stat(data); err != nil {
		t.Errorf("the data of a node that was not wiped: %v", err)
	}
	write(mesh, node(0))
	if err := Wipe(mesh, "eu-b-1"); err == nil {
		t.Error("a node that is not there was wiped")
	}
	if err := Wipe(mesh, "eu-a-1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("data after the wipe: %v", err)
	}
}
