package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

var enabled = flag.Bool("e2e", false, "run the tests with real processes")

var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if !*enabled {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "skein-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "skein")
	build := exec.Command("go", "build", "-o", binary, "../cmd/skein")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func need(t *testing.T) {
	t.Helper()
	if !*enabled {
		t.Skip("real processes: run with -args -e2e")
	}
}

type meshFile struct {
	Service        string `json:"service"`
	CAFile         string `json:"ca_file"`
	TokenFile      string `json:"token_file"`
	AdminTokenFile string `json:"admin_token_file"`
	Nodes          []struct {
		ID     skein.NodeID `json:"id"`
		Region skein.Region `json:"region"`
		Zone   skein.Zone   `json:"zone"`
		PID    int          `json:"pid"`
		QUIC   string       `json:"quic"`
		HTTPS  string       `json:"https"`
		DNS    string       `json:"dns"`
		Admin  string       `json:"admin"`
	} `json:"nodes"`
}

// dev is one running `skein dev`.
type dev struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	log *bytes.Buffer
}

// startDev starts a mesh and waits until it says that it is ready.
func startDev(t *testing.T, args ...string) *dev {
	t.Helper()
	d := &dev{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	d.cmd = exec.Command(binary, append([]string{"dev", "--dir", d.dir, "--json", "--port-offset", "20000"}, args...)...)
	d.cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+d.dir)
	d.cmd.Stderr = d.log
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("skein dev: %v\n%s", err, d.log)
	}
	var ready struct{}
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("skein dev --json printed %q: %v", line, err)
	}
	return d
}

func (d *dev) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.cmd.Wait()
	if d.t.Failed() {
		d.t.Logf("skein dev said:\n%s", d.log)
		logs, _ := filepath.Glob(filepath.Join(d.dir, "nodes", "*", "log"))
		for _, path := range logs {
			data, _ := os.ReadFile(path)
			d.t.Logf("%s:\n%s", path, data[max(0, len(data)-6000):])
		}
	}
}

func (d *dev) file() meshFile {
	d.t.Helper()
	data, err := os.ReadFile(d.path())
	if err != nil {
		d.t.Fatal(err)
	}
	var f meshFile
	if err := json.Unmarshal(data, &f); err != nil {
		d.t.Fatal(err)
	}
	return f
}

func (d *dev) path() string { return filepath.Join(d.dir, "mesh.json") }

// skein runs a command against the mesh and gives its standard output.
func (d *dev) skein(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+d.dir, "SKEIN_MESH="+d.path(), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("skein %s: %w\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String(), nil
}

func (d *dev) must(args ...string) string {
	d.t.Helper()
	out, err := d.skein(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// admin asks a node's admin endpoint.
func (d *dev) admin(id skein.NodeID, path string, into any) error {
	f := d.file()
	token, err := os.ReadFile(f.AdminTokenFile)
	if err != nil {
		return err
	}
	for _, n := range f.Nodes {
		if n.ID != id {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(into)
	}
	return fmt.Errorf("no node %s", id)
}

type status struct {
	Group struct {
		Role      string         `json:"role"`
		Leader    skein.NodeID   `json:"leader"`
		Quorum    bool           `json:"quorum"`
		HashIndex uint64         `json:"hash_index"`
		Hash      string         `json:"hash"`
		Voters    []skein.NodeID `json:"voters"`
	} `json:"group"`
	RSS   uint64 `json:"rss_bytes"`
	Ready string `json:"ready"`
}

// leader waits until every living node of the region names the same leader.
func (d *dev) leader(region skein.Region) skein.NodeID {
	d.t.Helper()
	var leader skein.NodeID
	d.eventually("leader of "+string(region), 10*time.Second, func() bool {
		leader = ""
		for _, n := range d.file().Nodes {
			if n.Region != region || n.PID == 0 {
				continue
			}
			var st status
			if d.admin(n.ID, "/debug/status", &st) != nil || st.Group.Leader == "" || leader != "" && leader != st.Group.Leader {
				return false
			}
			leader = st.Group.Leader
		}
		return leader != ""
	})
	return leader
}

// eventually looks until f holds.
func (d *dev) eventually(what string, limit time.Duration, f func() bool) {
	d.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			d.t.Fatalf("no %s within %v", what, limit)
		}
	}
}

// client makes a client that knows the nodes of eu, the named one first.
func (d *dev) client(first skein.NodeID, onMove func(client.Move)) (*client.Client, error) {
	f := d.file()
	ca, err := os.ReadFile(f.CAFile)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(f.TokenFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	var nodes []client.Node
	for _, n := range f.Nodes {
		at, err := netip.ParseAddrPort(n.QUIC)
		if err != nil {
			return nil, err
		}
		node := client.Node{ID: n.ID, Region: n.Region, Zone: n.Zone, QUIC: at}
		switch {
		case n.ID == first:
			nodes = append([]client.Node{node}, nodes...)
		case n.Region == "eu":
			nodes = append(nodes, node)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Dial(ctx, client.Config{
		Service: f.Service, Nodes: nodes, Roots: roots, OnMove: onMove,
		Token: func(context.Context) (string, error) { return strings.TrimSpace(string(token)), nil },
	})
}
