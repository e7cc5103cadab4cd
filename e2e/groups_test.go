package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

// leaders waits until every living node names the same leader of each group, all of them alive.
func (d *dev) leaders() []skein.NodeID {
	d.t.Helper()
	var leaders []skein.NodeID
	d.eventually("a leader of each group", 15*time.Second, func() bool {
		leaders = nil
		for _, n := range d.file().Nodes {
			if n.PID == 0 {
				continue
			}
			var st struct {
				Groups []struct {
					Leader skein.NodeID `json:"leader"`
				} `json:"groups"`
			}
			if d.admin(n.ID, "/debug/status", &st) != nil {
				return false
			}
			var seen []skein.NodeID
			for _, g := range st.Groups {
				seen = append(seen, g.Leader)
			}
			if slices.Contains(seen, "") || leaders != nil && !slices.Equal(seen, leaders) {
				return false
			}
			leaders = seen
		}
		return len(leaders) > 0
	})
	return leaders
}

// TestGroupsSurviveTheirLeaders kills the leader of each of four groups in turn, while conversations of all of them go on.
func TestGroupsSurviveTheirLeaders(t *testing.T) {
	need(t)
	d := startDev(t, "--regions", "eu=a,b,c", "--groups", "4", "--assistant", assistantFile, "--model", slowModel(t))
	var table struct {
		Regions []struct {
			Groups []struct {
				Voters []skein.NodeID `json:"voters"`
			} `json:"groups"`
		} `json:"regions"`
	}
	if out := d.must("groups", "--json"); json.Unmarshal([]byte(out), &table) != nil || len(table.Regions) != 1 || len(table.Regions[0].Groups) != 4 {
		t.Fatalf("skein groups --json: %s", out)
	}
	talks := conversations()
	for _, k := range talks {
		if err := k.open(d, "eu-a-1"); err != nil {
			t.Fatal(err)
		}
		defer k.client.Close()
		k.slow += 2 * time.Second // a group that elects three times in a minute doubles its timeouts
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, k := range talks {
		running.Go(func() { k.run(stop) })
	}
	began := time.Now()
	for group := range 4 {
		leader := d.leaders()[group]
		t.Logf("kill %s, which leads group %d", leader, group)
		d.must("dev", "kill", string(leader))
		wait(3 * time.Second)
		d.must("dev", "restart", string(leader))
		d.eventually("ready "+string(leader), 15*time.Second, func() bool {
			var st status
			return d.admin(leader, "/debug/status", &st) == nil && st.Ready == "ok"
		})
		wait(1500 * time.Millisecond)
	}
	close(stop)
	running.Wait()
	var faults []error
	for _, k := range talks {
		faults = append(faults, k.check(d)...)
	}
	summary(t, talks, time.Since(began))
	if err := errors.Join(faults...); err != nil {
		t.Error(err)
	}
}

// TestExitCodes starts a node of a mesh with what it cannot use, and again when that is mended.
func TestExitCodes(t *testing.T) {
	need(t)
	d := startDev(t, "--regions", "eu=a,b,c", "--groups", "2")
	const node = "eu-c-1"
	d.leaders()
	d.must("dev", "kill", node)
	home := filepath.Join(d.dir, "nodes", node)
	for _, x := range []struct {
		name, group string // whose log is damaged; "": none
		args        []string
		code        int
		says        string
	}{
		{"another number of groups", "", []string{"--groups", "3"}, 14, "set groups to 2"},
		{"a damaged log", "group-1", nil, 13, filepath.Join("replica", "group-1", "log")},
		{"a wrong flag", "", []string{"--groups", "many"}, 1, "1 to 8"},
	} {
		var mend func()
		if x.group != "" {
			mend = damage(t, filepath.Join(home, "data", "replica", x.group, "log"))
		}
		cmd := exec.Command(binary, append([]string{"agent", "--config", filepath.Join(home, "skein.yaml")}, x.args...)...)
		var said bytes.Buffer
		cmd.Stderr = &said
		err := cmd.Run()
		if mend != nil {
			mend()
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != x.code || !strings.Contains(said.String(), x.says) {
			t.Errorf("%s: got %v, want exit status %d and %q in\n%s", x.name, err, x.code, x.says, &said)
		}
	}
	d.must("dev", "restart", node)
	d.eventually("ready "+node, 15*time.Second, func() bool {
		var st status
		return d.admin(node, "/debug/status", &st) == nil && st.Ready == "ok"
	})
}

// damage overwrites the beginning of every file of a directory, until mend puts back what was there.
func damage(t *testing.T, dir string) (mend func()) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files of %s: %v, %v", dir, files, err)
	}
	kept := map[string][]byte{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept[path] = data
		bad := bytes.Clone(data)
		for i := range bad[:min(len(bad), 8192)] {
			bad[i] ^= 0x5a
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for path, data := range kept {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}
