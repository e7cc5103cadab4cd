package histories

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

var (
	enabled    = flag.Bool("e2e", false, "run the histories with real processes")
	portOffset = flag.Int("port-offset", 26000, "of the mesh on the loopback")
)

var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if !*enabled {
		os.Exit(m.Run())
	}
	if os.Getenv(insideEnv) != "" { // its network has nothing yet
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "loopback: %v: %s\n", err, out)
			os.Exit(1)
		}
	}
	dir, err := os.MkdirTemp("", "skein-histories-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := 1
	binary = os.Getenv(binaryEnv) // of the process that this one runs inside of
	if binary == "" {
		binary = filepath.Join(dir, "skein")
		err = build(binary)
	}
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

const binaryEnv = "SKEIN_HISTORIES_BINARY"

func build(to string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", to}, args...), "../../cmd/skein")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// agent is a node of a fleet.
type agent struct {
	id   skein.NodeID
	host string // its IP address
	quic string
	adm  string
	conf string
	data string
	log  string
	args []string // after those of the file
	env  []string
	bin  string
	out  *os.File // takes the place of log

	cmd *exec.Cmd // nil: it does not run
	end chan error
}

// fleet is a region of three nodes, each a process that the test starts.
type fleet struct {
	t      *testing.T
	dir    string
	agents []*agent
	inside func(a *agent, args []string) []string // wraps a command line; nil: the test's own network
	roots  *x509.CertPool
	token  string
	admin  string
	name   string // of the service
}

// newFleet makes keys and configurations with `skein dev`, and starts nothing.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir()}
	cmd := exec.Command(binary, "dev", "--dir", f.dir, "--json", "--regions", "eu=a,b,c", "--assistant", "testdata/echo.yaml",
		"--port-offset", fmt.Sprint(*portOffset))
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+f.dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	cmd.Process.Signal(syscall.SIGTERM)
	if werr := cmd.Wait(); err != nil || werr != nil {
		t.Fatalf("skein dev: %v, %v\n%s", err, werr, &said)
	}
	var mesh struct {
		Service        string `json:"service"`
		CAFile         string `json:"ca_file"`
		TokenFile      string `json:"token_file"`
		AdminTokenFile string `json:"admin_token_file"`
		Nodes          []struct {
			ID    skein.NodeID `json:"id"`
			QUIC  string       `json:"quic"`
			Admin string       `json:"admin"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(line, &mesh); err != nil {
		t.Fatalf("skein dev --json printed %q: %v", line, err)
	}
	f.name, f.token, f.admin = mesh.Service, f.read(mesh.TokenFile), f.read(mesh.AdminTokenFile)
	f.roots = x509.NewCertPool()
	f.roots.AppendCertsFromPEM([]byte(f.read(mesh.CAFile)))
	for _, n := range mesh.Nodes {
		at := filepath.Join(f.dir, "nodes", string(n.ID))
		f.agents = append(f.agents, &agent{
			id: n.ID, quic: n.QUIC, adm: n.Admin, conf: filepath.Join(at, "skein.yaml"), data: filepath.Join(at, "data"),
			log: filepath.Join(at, "log"), bin: binary,
			args: []string{"--limits-turns-per-second", "100000", "--limits-burst", "100000"},
		})
	}
	t.Cleanup(f.close)
	return f
}

func (f *fleet) read(path string) string {
	f.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// start runs agents that do not run.
func (f *fleet) start(agents ...*agent) {
	f.t.Helper()
	for _, a := range agents {
		args := append([]string{a.bin, "agent", "--config", a.conf}, a.args...)
		if f.inside != nil {
			args = f.inside(a, args)
		}
		log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			f.t.Fatal(err)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), a.env...)
		cmd.Stdout, cmd.Stderr = log, log
		if a.out != nil {
			cmd.Stdout, cmd.Stderr = a.out, a.out
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err = cmd.Start()
		log.Close()
		if err != nil {
			f.t.Fatal(err)
		}
		a.cmd, a.end = cmd, make(chan error, 1)
		go func() { a.end <- cmd.Wait() }()
	}
}

// kill ends agents at once.
func (f *fleet) kill(agents ...*agent) {
	for _, a := range agents {
		if a.cmd != nil {
			a.cmd.Process.Signal(syscall.SIGCONT)
			a.cmd.Process.Kill()
		}
	}
	for _, a := range agents {
		if a.cmd != nil {
			<-a.end
			a.cmd = nil
		}
	}
}

// ended reports whether an agent has ended on its own, and forgets the process then.
func (a *agent) ended() (bool, error) {
	if a.cmd == nil {
		return false, nil
	}
	select {
	case err := <-a.end:
		a.cmd = nil
		return true, err
	default:
		return false, nil
	}
}

func (f *fleet) close() {
	f.kill(f.agents...)
	if !f.t.Failed() {
		return
	}
	for _, a := range f.agents {
		data, _ := os.ReadFile(a.log)
		f.t.Logf("%s:\n%s", a.id, data[max(0, len(data)-3000):])
	}
}

// leader waits until a running node says that it leads.
func (f *fleet) leader() *agent {
	f.t.Helper()
	var found *agent
	f.until("a leader", 30*time.Second, func() error {
		for _, a := range f.agents {
			if s, err := f.status(a); a.cmd != nil && err == nil && s.Group.Role == "leader" {
				found = a
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return found
}

// target picks the leader, another node, or all.
func (f *fleet) target(who string) []*agent {
	f.t.Helper()
	lead := f.leader()
	switch who {
	case "leader":
		return []*agent{lead}
	case "follower":
		for _, a := range f.agents {
			if a != lead {
				return []*agent{a}
			}
		}
	}
	return f.agents
}

// until looks again and again until ok gives nil.
func (f *fleet) until(what string, limit time.Duration, ok func() error) {
	f.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			f.t.Fatalf("no %s within %v: %v", what, limit, err)
		}
	}
}

// pause lets real processes run; there is no clock here to turn.
func pause(d time.Duration) { <-time.After(d) }
