package nodetest

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/node"
)

// vault opens the depot with the configuration of a node.
func (m *Mesh) vault(id skein.NodeID, at string) *node.Vault {
	m.t.Helper()
	v, err := node.OpenVault(m.process(id).cfg, at)
	m.must(err)
	return v
}

// The leader makes a backup every two minutes and keeps two, also when another node leads by then; a closed session goes to the
// archive, and its text afterwards, not before.
func TestScheduledBackupAndArchive(t *testing.T) {
	depot := filepath.Join(t.TempDir(), "depot")
	at := "file://" + depot
	if err := os.Mkdir(depot, 0o700); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(operatorToken), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m := NewWith(t, "eu=a,b,c", 1, func(c *node.Config) {
			c.Files.AdminToken = token
			c.Backup = node.Backup{To: at, Every: 2 * time.Minute, Keep: 2}
			c.Archive = node.Archive{To: at, After: 8 * time.Minute}
			c.Retention = node.Retention{CloseAfter: 5 * time.Minute, Keep: 10 * time.Minute}
		})
		defer m.Close()
		first := m.Leader("eu")
		cl := m.Client("eu", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := cl.Open(ctx, "eu~old", client.Options{})
		m.must(err)
		turn, err := s.Send(ctx, "where is my order SO10021")
		m.must(err)
		reply, err := turn.Reply(ctx)
		m.must(err)
		m.must(s.Close())
		m.must(cl.Close())
		v := m.vault(first, at)
		count := func() int {
			list, faults, err := v.List(t.Context())
			if err != nil || len(faults) > 0 {
				t.Fatal(err, faults)
			}
			return len(list)
		}
		m.Eventually("a first backup", time.Minute, func() bool { return count() == 1 })
		time.Sleep(time.Minute)
		if n := count(); n != 1 {
			t.Errorf("%d backups within two minutes", n)
		}
		m.Kill(first)
		m.Leader("eu")
		time.Sleep(6 * time.Minute)
		if n := count(); n != 2 {
			t.Errorf("%d backups are kept, want 2", n)
		}
		if b, err := v.Verify(t.Context(), ""); err != nil || b.Sessions != 1 || time.Since(b.At) > 3*time.Minute {
			t.Errorf("the newest one: %+v, %v", b, err)
		}
		m.Start(first)

		archived := func() string {
			var out bytes.Buffer
			if _, err := v.Archived(t.Context(), "eu~old", "", &out); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		m.Eventually("the session in the archive", 20*time.Minute, func() bool { time.Sleep(5 * time.Second); return archived() != "" })
		if text := archived(); !strings.Contains(text, `"text":"where is my order SO10021"`) || strings.Count(text, "\n") != 4 ||
			!strings.Contains(text, strings.SplitN(reply.Text, "\n", 2)[0][:20]) {
			t.Errorf("archived:\n%s", text)
		}
		m.Eventually("the text gone", 20*time.Minute, func() bool {
			time.Sleep(10 * time.Second)
			var page admin.SessionPage
			m.operate(m.Leader("eu"), http.MethodGet, "/v1/sessions", &page)
			return len(page.Sessions) == 0
		})
		if archived() == "" {
			t.Error("the archive has lost it")
		}
		if n, err := v.EraseArchived(t.Context(), "", "somebody else"); err != nil || n != 0 {
			t.Errorf("somebody else's: %d, %v", n, err)
		}
		if n, err := v.EraseArchived(t.Context(), "eu~old", ""); err != nil || n != 1 || archived() != "" {
			t.Errorf("erased: %d, %v; left %q", n, err, archived())
		}
	})
}

// A depot that cannot be used is told, and costs nothing else.
func TestBackupRefused(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(operatorToken), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := "file://" + filepath.Join(t.TempDir(), "not", "mounted")
	synctest.Test(t, func(t *testing.T) {
		m := NewWith(t, "eu=a,b,c", 1, func(c *node.Config) { c.Files.AdminToken = token })
		defer m.Close()
		leader := m.Leader("eu")
		var state admin.BackupState
		if f := m.operate(leader, http.MethodPost, "/v1/backups?to=ftp://x", &state); f.Error.Number != skein.CodeMalformed {
			t.Errorf("an address that is none: %+v", f)
		}
		if f := m.operate(leader, http.MethodPost, "/v1/backups?to="+missing, &state); f.Error.Number != 0 {
			t.Fatalf("%+v", f)
		}
		m.Eventually("an end", time.Minute, func() bool {
			m.operate(leader, http.MethodGet, "/v1/backups", &state)
			return !state.Running
		})
		if state.Backup != nil || !strings.Contains(state.Error, "mount") {
			t.Errorf("got %+v, want an error that says what to mend", state)
		}
		var text string
		if f := m.operate(leader, http.MethodGet, "/metrics", &text); f.Error.Number != 0 || !strings.Contains(text, "skein_backup_failures_total 1") {
			t.Error("the failure is not counted")
		}
	})
}
