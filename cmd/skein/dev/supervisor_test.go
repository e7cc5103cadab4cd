package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/config"
)

// The test binary stands in for the agent: started as `BINARY agent --config FILE` it says that it is ready
// and ends at SIGTERM or with its supervisor.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "agent" {
		os.Exit(standIn(os.Args[3]))
	}
	goleak.VerifyTestMain(m)
}

func standIn(file string) int {
	lifeline, err := Lifeline()
	if err != nil || lifeline == nil {
		return 3
	}
	cfg, err := config.Load(file, nil, nil)
	if err == nil && cfg.Node == "eu-talkative-1" {
		os.Stderr.WriteString("this is how it came about\n")
	}
	if err != nil || cfg.Node == "eu-faulty-1" || cfg.Node == "eu-talkative-1" {
		os.Stderr.WriteString("skein: the disk is on fire\n")
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if cfg.Node == "eu-stubborn-1" {
		ctx = context.Background()
	}
	go WatchLifeline(ctx, lifeline, func() { os.Exit(1) })
	srv := &http.Server{Addr: cfg.Listen.Admin.String(), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	context.AfterFunc(ctx, func() { srv.Close() })
	srv.ListenAndServe()
	return 0
}

// freePorts gives ports that nothing on 127.0.0.1 uses.
func freePorts(t *testing.T) Ports {
	t.Helper()
	var n [5]int
	for i := range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		n[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return Ports{n[0], n[1], n[2], n[3], n[4]}
}

func testOptions(t *testing.T, regions string) Options {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// `go test` builds into a go-build directory too, but not into its exe.
	return Options{Regions: regions, Dir: filepath.Join(t.TempDir(), "d"), JSON: true, Ports: freePorts(t), Executable: exe, Command: "skein",
		StateDir: t.TempDir(), Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) string { return "" }}
}

func pids(t *testing.T, mesh string) map[string]int {
	t.Helper()
	f, err := meshfile.Read(mesh)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, n := range f.Nodes {
		all[string(n.ID)] = n.PID
	}
	return all
}

// running reports whether the process exists; a child that nobody waited for would still count.
func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestLifeOfAMesh(t *testing.T) {
	o := testOptions(t, "eu=a,b")
	ready, readyOut := io.Pipe()
	o.Stdout = readyOut
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stopCtx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- Run(stopCtx, o); readyOut.Close() }()
	var line struct {
		Mesh  string
		Nodes []meshfile.Node
	}
	if err := json.NewDecoder(ready).Decode(&line); err != nil {
		t.Fatalf("not ready: %v, %v", err, <-ended)
	}
	mesh := filepath.Join(o.Dir, "mesh.json")
	if line.Mesh != mesh || len(line.Nodes) != 2 || line.Nodes[0].PID == 0 {
		t.Errorf("ready: got %+v", line)
	}
	if living, err := meshfile.Living(o.StateDir); err != nil || len(living) != 1 || living[0].Mesh != mesh {
		t.Errorf("recorded: got %+v, %v", living, err)
	}
	if err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), "runs on "+o.Dir+" already, with pid") {
		t.Errorf("a second one: got %v", err)
	}
	killAndRestart(t, ctx, mesh)

	last := pids(t, mesh)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	for node, pid := range last {
		if running(pid) {
			t.Errorf("%s (pid %d) has outlived the supervisor", node, pid)
		}
	}
	if got := pids(t, mesh); got["eu-a-1"] != 0 || got["eu-b-1"] != 0 {
		t.Errorf("mesh.json after the end: got %v", got)
	}
	if living, err := meshfile.Living(o.StateDir); err != nil || len(living) != 0 {
		t.Errorf("still recorded: %+v, %v", living, err)
	}
	resumes(t, ctx, o)
}

// resumes starts the mesh of o again by its directory alone: it has the ports that it had.
func resumes(t *testing.T, ctx context.Context, o Options) {
	t.Helper()
	ports := o.Ports
	var said bytes.Buffer
	ready, readyOut := io.Pipe()
	o.Regions, o.Ports, o.Stderr, o.Stdout = "", Ports{}, &said, readyOut
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o); readyOut.Close() }()
	var line struct{ Nodes []meshfile.Node }
	if err := json.NewDecoder(ready).Decode(&line); err != nil {
		t.Fatalf("not ready again: %v, %v", err, <-ended)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if want := ":" + strconv.Itoa(ports.Admin); len(line.Nodes) != 2 || !strings.HasSuffix(line.Nodes[0].Admin, want) {
		t.Errorf("resumed: got %+v, want the admin port %s", line.Nodes, want)
	}
	if text := said.String(); !strings.Contains(text, "resuming the mesh in "+o.Dir) || strings.Contains(text, "making keys") ||
		!strings.Contains(text, "\n  skein dev --dir "+o.Dir+"\n") {
		t.Errorf("said:\n%s", text)
	}
}

func killAndRestart(t *testing.T, ctx context.Context, mesh string) {
	t.Helper()
	before := pids(t, mesh)
	pid, err := Kill(ctx, mesh, "eu-a-1")
	if err != nil || pid != before["eu-a-1"] {
		t.Fatalf("kill: got %d, %v; want %d", pid, err, before["eu-a-1"])
	}
	if got := pids(t, mesh); got["eu-a-1"] != 0 || got["eu-b-1"] != before["eu-b-1"] || running(pid) {
		t.Errorf("after the kill: got %v, running %v", got, running(pid))
	}
	if _, err := Kill(ctx, mesh, "eu-a-1"); err == nil || !strings.Contains(err.Error(), "dead already") {
		t.Errorf("kill again: got %v", err)
	}
	if _, err := Kill(ctx, mesh, "nobody"); err == nil || !strings.Contains(err.Error(), "no node of that name") {
		t.Errorf("kill nobody: got %v", err)
	}
	for _, node := range []string{"eu-a-1", "eu-b-1"} { // the dead one, then one that lives
		if pid, err = Restart(ctx, mesh, meshNode(t, mesh, node).ID); err != nil || pid == before[node] {
			t.Fatalf("restart %s: got %d, %v", node, pid, err)
		}
		if err := waitReady(ctx, meshNode(t, mesh, node).Admin); err != nil {
			t.Fatal(err)
		}
		if got := pids(t, mesh)[node]; got != pid {
			t.Errorf("mesh.json after the restart of %s: got %d, want %d", node, got, pid)
		}
	}
}

func meshNode(t *testing.T, mesh, id string) meshfile.Node {
	t.Helper()
	f, err := meshfile.Read(mesh)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range f.Nodes {
		if string(n.ID) == id {
			return n
		}
	}
	t.Fatalf("no %s in %s", id, mesh)
	return meshfile.Node{}
}

// A node that cannot start is told with its own words, and nothing stays.
func TestFaultAtStart(t *testing.T) {
	o := testOptions(t, "eu=a,faulty")
	var said bytes.Buffer
	o.Stderr = &said
	err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "eu-faulty-1 ended at start (exit status 1): skein: the disk is on fire") {
		t.Errorf("got %v", err)
	}
	if got := pids(t, filepath.Join(o.Dir, "mesh.json")); got["eu-a-1"] != 0 {
		t.Errorf("left: %v", got)
	}
}

// A temporary directory stays after a failure only where its logs say more than the error did.
func TestTemporaryDirectoryAfterAFault(t *testing.T) {
	for _, tt := range []struct {
		regions string
		kept    int
	}{{"eu=faulty", 0}, {"eu=talkative", 1}} {
		t.Run(tt.regions, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			o := testOptions(t, tt.regions)
			o.Dir = ""
			var said bytes.Buffer
			o.Stderr = &said
			if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
				t.Errorf("got %v", err)
			}
			left, err := os.ReadDir(tmp)
			if err != nil || len(left) != tt.kept {
				t.Errorf("left: got %v, %v, want %d", left, err, tt.kept)
			}
			if got := strings.Contains(said.String(), "the logs are kept: "+tmp); got != (tt.kept > 0) {
				t.Errorf("said:\n%s", said.String())
			}
		})
	}
}

// A node that ignores the order to stop is killed when patience ends.
func TestStopAllLosesPatience(t *testing.T) {
	s, err := prepare(testOptions(t, "eu=stubborn"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if err := s.startAll(); err != nil {
		t.Fatal(err)
	}
	if err := waitReady(t.Context(), s.first[0].Admin); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.stopAll(100 * time.Millisecond)
	if took := time.Since(began); took > stopTime/2 {
		t.Errorf("took %s", took)
	}
	if err := s.leave(false); err != nil {
		t.Error(err)
	}
}

func TestPortInUse(t *testing.T) {
	o := testOptions(t, "eu=a")
	o.OneAddress = true
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o.Ports.Admin = ln.Addr().(*net.TCPAddr).Port
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line", err)
	}
}
