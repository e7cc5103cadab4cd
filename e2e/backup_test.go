package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

// asker makes a conversation of quick answers.
func asker(name string) *talk {
	return &talk{name: name, ask: func(int) (string, string) { return "where is my order SO10021", "" }}
}

// converse lets conversations have turns and gives them with what they were answered.
func converse(t *testing.T, d *dev, prefix string, talks, turns int) []*talk {
	t.Helper()
	var out []*talk
	for i := range talks {
		k := asker(fmt.Sprintf("%s%d", prefix, i))
		if err := k.open(d, ""); err != nil {
			t.Fatal(err)
		}
		for n := range turns {
			a := k.one(k.ask(n))
			if a.err != nil {
				t.Fatalf("%s, turn %d: %v", k.name, n, a.err)
			}
			k.turns = append(k.turns, a)
		}
		out = append(out, k)
	}
	return out
}

func hangUp(talks []*talk) {
	for _, k := range talks {
		k.client.Close()
	}
}

// remembered asks for every turn again under its id: the answer must be the one that was given, and the session must go on.
func remembered(t *testing.T, d *dev, talks []*talk) {
	t.Helper()
	c, err := d.client("", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, k := range talks {
		s, err := c.Open(ctx, "eu~"+k.name, client.Options{})
		if err != nil {
			t.Errorf("open %s again: %v", k.name, err)
			continue
		}
		for _, a := range k.turns {
			turn, err := s.SendID(ctx, a.id, a.text)
			if err != nil {
				t.Fatalf("%s: %v", k.name, err)
			}
			if reply, err := turn.Reply(ctx); err != nil || reply.Text != a.reply.Text {
				t.Errorf("%s %s: got %q, %v; want what was acknowledged, %q", k.name, a.id, reply.Text, err, a.reply.Text)
			}
		}
		events, _, err := s.History(ctx, 0, 500)
		if err != nil {
			t.Fatal(err)
		}
		completed := 0
		for _, e := range events {
			if e.Kind == "completed" {
				completed++
			}
		}
		if completed != len(k.turns) {
			t.Errorf("%s has %d completed turns, want %d", k.name, completed, len(k.turns))
		}
	}
	more := asker("more")
	more.client = c
	if more.session, err = c.Open(ctx, "eu~"+talks[0].name, client.Options{}); err != nil {
		t.Fatal(err)
	}
	a := more.one(more.ask(0))
	if a.err != nil {
		t.Errorf("%s does not go on: %v", talks[0].name, a.err)
	}
	talks[0].turns = append(talks[0].turns, a)
}

// resume starts the mesh of d again.
func (d *dev) resume(args ...string) {
	d.t.Helper()
	d.cmd = exec.Command(binary, append([]string{"dev", "--dir", d.dir, "--json", "--port-offset", "20000"}, args...)...)
	d.cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+d.dir)
	d.cmd.Stderr = d.log
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		d.t.Fatalf("skein dev: %v\n%s", err, d.log)
	}
}

func (d *dev) config(id skein.NodeID) string {
	return filepath.Join(d.dir, "nodes", string(id), "skein.yaml")
}

// TestBackupAndRestore: a backup under load, the loss of everything, and a restore: all that was acknowledged before the backup
// began is there, once.
func TestBackupAndRestore(t *testing.T) {
	need(t)
	shape := []string{"--regions", "eu=a,b,c", "--groups", "2"}
	d := startDev(t, shape...)
	talks := converse(t, d, "kept", 12, 3)
	load := converse(t, d, "load", 4, 1)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, k := range load {
		running.Go(func() { k.run(stop) })
	}
	depot := "file://" + filepath.Join(t.TempDir(), "depot")
	d.must("backup", "--to", depot)
	d.must("backup", "--to", depot, "--keep", "1")
	close(stop)
	running.Wait()
	for _, k := range load {
		if n := len(k.turns); n < 2 || k.turns[n-1].err != nil {
			t.Errorf("%s had %d turns: %v", k.name, n, k.turns[n-1].err)
		}
	}
	hangUp(append(talks, load...))
	if out := d.must("backup", "list", depot); strings.Count(out, "\n") != 2 {
		t.Errorf("one backup is wanted:\n%s", out)
	}
	d.must("backup", "verify", depot)
	if _, err := d.skein("restore", "--from", depot, "--config", d.config("eu-b-1")); err == nil || !strings.Contains(err.Error(), "in use by another") {
		t.Errorf("onto a running node: %v", err)
	}

	d.stop()
	if _, err := d.skein("restore", "--from", depot, "--config", d.config("eu-b-1")); err == nil || !strings.Contains(err.Error(), "holds a replica already") {
		t.Errorf("onto a node with a replica: %v", err)
	}
	for _, id := range []string{"eu-a-1", "eu-b-1", "eu-c-1"} {
		if err := os.RemoveAll(filepath.Join(d.dir, "nodes", id, "data")); err != nil {
			t.Fatal(err)
		}
	}
	d.must("restore", "--from", depot, "--config", d.config("eu-b-1"), "--dry-run")
	if _, err := os.Stat(filepath.Join(d.dir, "nodes", "eu-b-1", "data")); err == nil {
		t.Error("a dry run has made something")
	}
	d.must("restore", "--from", depot, "--config", d.config("eu-b-1"))
	d.resume(shape...)
	remembered(t, d, talks)
	d.allVote()
}

// allVote waits until each group has three voters again.
func (d *dev) allVote() {
	d.t.Helper()
	d.eventually("three voters of each group", time.Minute, func() bool {
		for _, n := range d.file().Nodes {
			var list struct {
				Replicas []struct {
					Voters []skein.NodeID `json:"voters"`
				} `json:"replicas"`
			}
			if n.PID == 0 || d.admin(n.ID, "/v1/replicas", &list) != nil || len(list.Replicas) == 0 {
				return false
			}
			for _, r := range list.Replicas {
				if len(r.Voters) != 3 {
					return false
				}
			}
		}
		return true
	})
}

// TestRecoverFromLostQuorum: two of three nodes are killed for ever. The third goes on with all that was acknowledged. When the
// two come back all the same, they do not win: they join it.
func TestRecoverFromLostQuorum(t *testing.T) {
	need(t)
	d := startDev(t, "--regions", "eu=a,b,c", "--groups", "2")
	talks := converse(t, d, "kept", 8, 3)
	hangUp(talks)
	if _, err := d.skein("recover", "--yes-i-know", "eu"); err == nil || !strings.Contains(err.Error(), "nothing is lost") {
		t.Errorf("with a quorum: %v", err)
	}
	d.must("dev", "kill", "eu-a-1")
	d.must("dev", "kill", "eu-c-1")
	d.eventually("a lost quorum", 15*time.Second, func() bool {
		var list struct {
			Replicas []struct {
				Leader skein.NodeID `json:"leader"`
			} `json:"replicas"`
		}
		if d.admin("eu-b-1", "/v1/replicas", &list) != nil || len(list.Replicas) != 2 {
			return false
		}
		return list.Replicas[0].Leader == "" && list.Replicas[1].Leader == ""
	})
	if _, err := d.skein("recover", "--yes-i-know", "us"); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("another region's name: %v", err)
	}
	out := d.must("recover", "--config", d.config("eu-a-1"), "--yes-i-know", "eu")
	if !strings.Contains(out, "eu-a-1") || !strings.Contains(out, "eu-b-1") {
		t.Errorf("both the running and the stopped replica are wanted:\n%s", out)
	}
	if strings.Contains(out, "goes on with eu-a-1") { // it was the better one of a group, and does not run
		d.must("dev", "restart", "eu-a-1")
	}
	remembered(t, d, talks)
	for _, id := range []string{"eu-a-1", "eu-c-1"} {
		if n := d.node(id); n == 0 {
			d.must("dev", "restart", id)
		}
	}
	d.allVote()
	remembered(t, d, talks)
	aside, err := filepath.Glob(filepath.Join(d.dir, "nodes", "eu-c-1", "data", "replica", "group-*", "quarantine-*"))
	if err != nil || len(aside) != 2 {
		t.Errorf("what eu-c-1 held was not set aside: %v, %v", aside, err)
	}
}

// node gives the process of a node, 0 when it does not run.
func (d *dev) node(id string) int {
	for _, n := range d.file().Nodes {
		if n.ID == skein.NodeID(id) {
			return n.PID
		}
	}
	return 0
}
