package dev

import (
	"bytes"
	"context"
	"errors"
	"io"
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

func TestResume(t *testing.T) {
	dir := t.TempDir()
	first, resumed, err := resume(dir, plan{Regions: "eu=a,b,c", Ports: Ports{DNS: 5353}})
	if err != nil || resumed {
		t.Fatalf("first: resumed %v, %v", resumed, err)
	}
	if want := (plan{Regions: "eu=a,b,c", Ports: Ports{8443, 5353, 8080, 7946, 7947}}); first != want {
		t.Errorf("first: got %+v, want %+v", first, want)
	}
	if err := first.save(filepath.Join(dir, planFile)); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []plan{{}, {Regions: "eu=a,b,c"}, {Ports: Ports{DNS: 5353, Client: 8443}}} {
		if got, resumed, err := resume(dir, asked); err != nil || got != first || !resumed {
			t.Errorf("%+v: got %+v, %v, %v; want %+v", asked, got, resumed, err, first)
		}
	}
	for _, tt := range []struct {
		asked plan
		want  string
	}{
		{plan{Regions: "eu=a"}, "leave --regions away"},
		{plan{OneAddress: true}, "leave --one-address away"},
		{plan{Ports: Ports{Admin: 9090}}, "the admin port 8080, not 9090: leave the flags of ports away"},
		{plan{Ports: Ports{DNS: 8053}}, "change its ports in " + filepath.Join(dir, "dev.json")},
	} {
		if _, _, err := resume(dir, tt.asked); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.asked, err, tt.want)
		}
	}
}

// What a flag says wrongly is told before a directory is made.
func TestFlagsAreCheckedFirst(t *testing.T) {
	geo := filepath.Join(t.TempDir(), "geo")
	if err := os.WriteFile(geo, []byte("10.0.0.0/8 mars\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{Model: "localhost:8000"}, "--model: want a base URL"},
		{Options{GeoFile: geo}, "region mars, which this mesh does not have"},
		{Options{Assistant: "a.yaml", CheckAssistant: func() error { return errors.New("a.yaml:3:1: no\na.yaml:4:1: nor this") }}, "--assistant: a.yaml:3:1: no; a.yaml:4:1: nor this"},
	} {
		tt.opts.Dir, tt.opts.Stderr = filepath.Join(t.TempDir(), "d"), io.Discard
		if _, err := prepare(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if _, err := os.Stat(tt.opts.Dir); !os.IsNotExist(err) {
			t.Errorf("%s: the directory was made: %v", tt.want, err)
		}
	}
}

func TestStopped(t *testing.T) {
	dir := t.TempDir()
	mesh := filepath.Join(dir, "mesh.json")
	if got, stopped := Stopped(mesh); got != "" || stopped {
		t.Errorf("no dev mesh: got %q, %v", got, stopped)
	}
	h := openTestHome(t, dir)
	if err := (plan{}).save(h.path(planFile)); err != nil {
		t.Fatal(err)
	}
	if got, stopped := Stopped(mesh); got != dir || stopped {
		t.Errorf("running: got %q, %v", got, stopped)
	}
	h.close()
	if got, stopped := Stopped(mesh); got != dir || !stopped {
		t.Errorf("stopped: got %q, %v", got, stopped)
	}
	if _, err := Kill(t.Context(), mesh, "eu-a-1"); err == nil || !strings.Contains(err.Error(), "start it with `skein dev --dir "+dir+"`") {
		t.Errorf("kill: got %v", err)
	}
}

// The command that resumes names all that is not in the directory.
func TestCommandThatResumes(t *testing.T) {
	s := &supervisor{opts: Options{Command: "skein", Assistant: "/a b.yaml", Watch: true, Model: "http://h/v1", GeoFile: "/g"}, home: &home{dir: "/d"}}
	if got, want := s.again(), "skein dev --dir /d --assistant '/a b.yaml' --model http://h/v1 --geo /g --watch"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// Each edit is told once, however many nodes there are, with the line of a mistake.
func TestEditsAreTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good")
	s := &supervisor{edits: make(chan string), opts: Options{Assistant: file, Watch: true, CheckAssistant: func() error {
		if data, err := os.ReadFile(file); err != nil || strings.HasPrefix(string(data), "good") {
			return err
		}
		return errors.New("a.yaml:1:1: bad")
	}}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	from := fileStamp(file)
	go func() { defer close(ended); s.watchAssistant(ctx, from) }()
	write("worse")
	if got, want := <-s.edits, file+" is not reloaded, its last good edition stays in force:\n  a.yaml:1:1: bad"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write("good again")
	if got, want := <-s.edits, file+" is reloaded, in force from the next turn on"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got, want := <-s.edits, file+" is gone; its last good edition stays in force"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cancel()
	<-ended
}

func TestFirstLines(t *testing.T) {
	if got, want := firstLines(errors.New("1\n2\n3\n4\n5\n6\n7"), "; "), "1; 2; 3; 4; 5; and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
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
