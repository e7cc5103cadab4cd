package node_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/node"
	"github.com/skein-mesh/skein/node/nodetest"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/replication/backup/s3/s3test"
)

// backedUp runs a mesh of one node until it has made a backup to at, and gives the node's configuration.
func backedUp(t *testing.T, at string) (cfg node.Config) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "secret")
	synctest.Test(t, func(t *testing.T) {
		m := nodetest.NewWith(t, "eu=a", 1, func(c *node.Config) {
			c.Backup = node.Backup{To: at, Every: time.Hour}
			cfg = *c
		})
		defer m.Close()
		m.Leader("eu")
		c := m.Client("eu", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, name := range []string{"eu~one", "eu~two"} {
			s, err := c.Open(ctx, name, client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		v, err := node.OpenVault(cfg, at)
		if err != nil {
			t.Fatal(err)
		}
		m.Eventually("a backup", time.Minute, func() bool {
			list, _, err := v.List(t.Context())
			return err == nil && len(list) == 1
		})
		secret, err := os.ReadFile(cfg.Files.Secret)
		if err == nil {
			err = os.WriteFile(kept, secret, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	cfg.Files.Secret = kept
	cfg.Network, cfg.RegionGossip, cfg.GlobalGossip, cfg.Engine = nil, nil, nil, nil
	return cfg
}

// What cannot be restored is refused with the reason and the way out, and nothing that was there is touched.
func TestRestoreRefuses(t *testing.T) {
	depot := filepath.Join(t.TempDir(), "depot")
	at := "file://" + depot
	if err := os.Mkdir(depot, 0o700); err != nil {
		t.Fatal(err)
	}
	good := backedUp(t, at)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("another mesh ", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(depot, "eu", "backups", "*", "group-0"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	whole, err := os.ReadFile(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(c *node.Config, from *string)
		damage func([]byte) []byte
		is     error
		says   string
	}{
		{name: "another mesh's secret", change: func(c *node.Config, _ *string) { c.Files.Secret = secret }, is: backup.ErrForeign, says: good.Service},
		{name: "another number of groups", change: func(c *node.Config, _ *string) { c.Groups = 2 }, says: "set groups to 1"},
		{name: "another region", change: func(c *node.Config, _ *string) { c.Region = "us" }, says: "only of eu"},
		{name: "an empty depot", change: func(_ *node.Config, from *string) { *from = "file://" + t.TempDir() }, says: "no backup here"},
		{name: "a depot that is not there", change: func(_ *node.Config, from *string) { *from += "2" }, says: "does not exist"},
		{name: "no depot", change: func(_ *node.Config, from *string) { *from = "http://x" }, says: "file:///DIRECTORY"},
		{name: "a directory with a replica", change: func(c *node.Config, _ *string) {
			if err := os.MkdirAll(filepath.Join(c.Dir, "replica", "log"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, says: "move it elsewhere"},
		{name: "a flipped bit", damage: func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, is: backup.ErrCorrupt, says: "group 0"},
		{name: "a part that was cut", damage: func(b []byte) []byte { return b[:len(b)-100] }, is: backup.ErrCorrupt, says: "group 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, from := good, at
			c.Dir = filepath.Join(t.TempDir(), "data")
			if tt.change != nil {
				tt.change(&c, &from)
			}
			if tt.damage != nil {
				if err := os.WriteFile(parts[0], tt.damage(append([]byte(nil), whole...)), 0o600); err != nil {
					t.Fatal(err)
				}
				defer os.WriteFile(parts[0], whole, 0o600)
			}
			for _, dry := range []bool{true, false} {
				_, err := node.Restore(t.Context(), c, from, "", dry)
				if err == nil || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("dry %v: got %v, want %q", dry, err, tt.says)
				}
			}
			left, err := filepath.Glob(filepath.Join(c.Dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range left {
				if name := filepath.Base(path); name != "lock" && !(tt.says == "move it elsewhere" && name == "replica") {
					t.Errorf("%s was left", path)
				}
			}
		})
	}

	if _, err := os.Stat(depot + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("who reads a depot has made it: %v", err)
	}

	c := good
	c.Dir = filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(filepath.Join(c.Dir, "restoring-1234", "log"), 0o700); err != nil { // of a restore that was killed
		t.Fatal(err)
	}
	if b, err := node.Restore(t.Context(), c, at, "", true); err != nil || b.Sessions != 2 {
		t.Errorf("dry run: %+v, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "replica")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dry run has made something: %v", err)
	}
	if b, err := node.Restore(t.Context(), c, at, "", false); err != nil || b.Sessions != 2 {
		t.Fatalf("restore: %+v, %v", b, err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.Dir, "restoring-*")); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
	found, err := node.Replicas(c)
	if err != nil || len(found) != 1 || found[0].Sessions != 2 || found[0].Epoch < 1<<40 || len(found[0].Voters) != 1 {
		t.Errorf("restored: %+v, %v", found, err)
	}
	if err := node.Recover(c, []uint32{0}, found[0].Epoch); err == nil || !strings.Contains(err.Error(), "not above") {
		t.Errorf("a recovery in an old epoch: %v", err)
	}
	if err := node.Recover(c, []uint32{0}, node.NextEpoch(found[0].Epoch, time.Now())); err != nil {
		t.Errorf("a recovery of a stopped node: %v", err)
	}
}

// A backup in a bucket, through the environment of the process; a wrong key is named.
func TestDepotInABucket(t *testing.T) {
	server := httptest.NewServer(s3test.New("mesh", "AKIATEST", "secret"))
	t.Cleanup(server.Close)
	at := "s3://mesh/here?region=x&endpoint=" + url.QueryEscape(server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	d, err := node.OpenDepot(at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "the key is wrong") {
		t.Errorf("a wrong key: %v", err)
	}
	d.Close()
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if d, err = node.OpenDepot(at); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Put(t.Context(), "eu/x", strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	if list, err := d.List(t.Context(), "eu/"); err != nil || len(list) != 1 {
		t.Errorf("list: %v, %v", list, err)
	}
	for _, bad := range []string{"", "file://relative", "file:relative", "s3://", "s3://key:secret@mesh/x", "ftp://x", "file:///x?y=z", "::"} {
		if err := node.CheckDepot(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
