package nodetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/node"
)

// told gives "session kind" of all that the subject of s was told, page by page.
func (m *Mesh) told(s *client.Session, q client.Search) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out []string
	for {
		said, next, err := s.Said(ctx, q)
		m.must(err)
		for _, x := range said {
			out = append(out, fmt.Sprintf("%s %s", x.Session, x.Kind))
		}
		if q.After = next; next == "" {
			return strings.Join(out, ", ")
		}
	}
}

// TestKeeping: a client ends its conversation and hears what it said, over all groups and from another region; an
// operator erases one session, then the subject.
func TestKeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := t.TempDir() + "/token"
		if err := os.WriteFile(token, []byte(operatorToken), 0o600); err != nil {
			t.Fatal(err)
		}
		m := NewWith(t, "eu=a,b,c;us=a", 21, func(c *node.Config) { c.Files.AdminToken, c.Groups = token, 4 })
		defer m.Close()
		m.Leader("eu")
		m.Leader("us")
		near, far := m.Client("eu", nil), m.Client("us", nil)
		defer near.Close()
		defer far.Close()
		sessions := m.inEachGroup(near, "eu")
		want := ""
		for i, s := range sessions {
			time.Sleep(time.Second) // of each other
			say(t, s, "hello")
			if i == 0 {
				say(t, s, "where is my order SO10021")
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		first := sessions[0]
		if err := first.End(ctx, 1); !errors.Is(err, skein.ErrConflict) {
			t.Errorf("end at an old number: %v, want conflict", err)
		}
		m.must(first.End(ctx, 0))
		m.must(first.End(ctx, 0))
		turn, err := first.Send(ctx, "and now")
		m.must(err)
		if _, err := turn.Reply(ctx); !errors.Is(err, skein.ErrSessionClosed) {
			t.Errorf("turn in a closed session: %v, want session_closed", err)
		}
		again, err := far.Open(ctx, string(sessions[1].ID()), client.Options{Resume: true})
		m.must(err)
		defer again.Close()
		q := client.Search{Limit: 3, Latest: true}
		want = m.told(sessions[1], q)
		if got := m.told(again, q); got != want || strings.Count(got, " completed") != 5 || !strings.Contains(got, string(first.ID())+" closed") {
			t.Errorf("told in the other region:\n%s\nin this one:\n%s", got, want)
		}
		m.erase(first.ID(), sessions)
		if got := m.told(sessions[1], q); got != "" {
			t.Errorf("after the erase of the subject: %s", got)
		}
		m.sameHash("eu")
	})
}

// erase lets an operator erase the first session, then all of the subject.
func (m *Mesh) erase(first skein.SessionID, sessions []*client.Session) {
	m.t.Helper()
	at := m.Leader("eu")
	var page admin.SaidPage
	m.operate(at, http.MethodGet, "/v1/history?subject=ann&latest=true&limit=500", &page)
	if len(page.Said) < 4*3 {
		m.t.Errorf("an operator is told %d events", len(page.Said))
	}
	var one admin.Ended
	m.operate(at, http.MethodPost, "/v1/sessions/"+string(first)+"/erase", &one)
	if one.Phase != "erased" || one.Known {
		m.t.Errorf("erase: %+v", one)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := m.Client("eu", nil)
	defer c.Close()
	if _, err := c.Open(ctx, string(first), client.Options{}); !errors.Is(err, skein.ErrSessionGone) {
		m.t.Errorf("open of an erased session: %v, want session_gone", err)
	}
	if f := m.operate(at, http.MethodPost, "/v1/sessions/us~x/erase", &one); f.Error.Number != skein.CodeRefused {
		m.t.Errorf("erase in the wrong region: %+v", f)
	}
	var all admin.Erased
	m.operate(at, http.MethodPost, "/v1/subjects/ann/erase", &all)
	if all.Sessions != len(sessions)-1 {
		m.t.Errorf("erase of the subject: %+v, want %d sessions", all, len(sessions)-1)
	}
	var text string
	m.operate(at, http.MethodGet, "/metrics", &text)
	erased := 0
	for line := range strings.Lines(text) {
		var group, n int
		if k, _ := fmt.Sscanf(line, `skein_group_sessions{group="%d",phase="erased"} %d`, &group, &n); k == 2 {
			erased += n
		}
	}
	if erased != len(sessions) {
		m.t.Errorf("meters: %d sessions are erased, want %d", erased, len(sessions))
	}
}
