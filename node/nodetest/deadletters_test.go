package nodetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/node"
)

// breakable is a model that dies behind its second piece until it is mended.
type breakable struct {
	*inference.Fake
	broken *inference.Fake
	mended *atomic.Bool // of all nodes
}

func newBreakable(mended *atomic.Bool) breakable {
	return breakable{newModel(), inference.NewFake(inference.FakeConfig{
		Delay: pieceEvery, Sentences: 8, PieceRunes: 7, FailAfter: 2, Fail: errors.New("the model is broken")}), mended}
}

func (b breakable) Generate(ctx context.Context, req inference.Request) (inference.Stream, error) {
	if b.mended.Load() {
		return b.Fake.Generate(ctx, req)
	}
	return b.broken.Generate(ctx, req)
}

func (b breakable) Close() error { return errors.Join(b.Fake.Close(), b.broken.Close()) }

const operatorToken = "0123456789abcdef0123456789abcdef"

// operate asks a node's admin endpoint; an answer that is no fault is decoded into out, and a fault is given.
func (m *Mesh) operate(id skein.NodeID, method, path string, out any) admin.Failure {
	m.t.Helper()
	host := m.Net.Host(netip.MustParseAddr("10.0.9.9"))
	to := netip.AddrPortFrom(m.process(id).Addr, portAdmin)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return host.Dial(ctx, to) }, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(m.t.Context(), method, "http://"+to.String()+path, nil)
	m.must(err)
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	res, err := (&http.Client{Transport: tr}).Do(req)
	m.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	m.must(err)
	var fault admin.Failure
	if res.StatusCode != http.StatusOK {
		m.must(json.Unmarshal(body, &fault))
	} else if s, ok := out.(*string); ok {
		*s = string(body)
	} else {
		m.must(json.Unmarshal(body, out))
	}
	return fault
}

// letters lists the dead letters that a replica knows: "session turn retriable".
func (m *Mesh) letters(id skein.NodeID) string {
	m.t.Helper()
	var page admin.DeadLetterPage
	if f := m.operate(id, http.MethodGet, "/v1/deadletters", &page); f.Error.Number != 0 {
		m.t.Fatalf("list of %s: %+v", id, f)
	}
	var out []string
	for _, l := range page.DeadLetters {
		what := string(l.Session) + " " + l.Turn
		if l.Retriable {
			what += " retriable"
		}
		if l.Failures != 5 || !strings.Contains(l.Reason, "the model is broken") || l.Subject != "ann" || !strings.HasPrefix(l.Text, "explain mountain") || l.Node == "" || l.DiedAt.IsZero() {
			m.t.Errorf("letter %+v", l)
		}
		out = append(out, what)
	}
	return strings.Join(out, ", ")
}

// dies sends a message that the broken model never answers, and waits for its end.
func (m *Mesh) dies(s *client.Session, text string) skein.TurnID {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	turn, err := s.Send(ctx, text)
	m.must(err)
	if _, err := turn.Reply(ctx); !errors.Is(err, skein.ErrTurnDead) {
		m.t.Fatalf("%s: got %v, want turn_dead", text, err)
	}
	return turn.ID()
}

// A broken model makes dead letters; an operator drops one, and retries the other once the model is mended, which
// survives the death of the leader that took the order.
func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		token := t.TempDir() + "/token"
		if err := os.WriteFile(token, []byte(operatorToken), 0o600); err != nil {
			t.Fatal(err)
		}
		m := NewWith(t, "eu=a,a,a,b,c;us=a", 11, func(c *node.Config) {
			c.Engine, c.Files.AdminToken = newBreakable(&mended), token
		})
		defer m.Close()
		leader := m.Leader("eu")
		bare := m.withoutReplica("eu")
		c := m.Client("eu", nil)
		defer c.Close()

		gone, back := m.converse(c, "gone"), m.converse(c, "back")
		lost := m.dies(gone, "explain mountain lost")
		say(t, gone, "where is my order SO10021") // the conversation goes on
		kept := m.dies(back, "explain mountain kept")

		want := "eu~back " + kept.String() + " retriable, eu~gone " + lost.String()
		m.Eventually("both letters at each voter", 5*time.Second, func() bool {
			for _, v := range m.Node(leader).Region().Groups()[0].Status().Voters {
				if m.letters(v) != want {
					return false
				}
			}
			return true
		})
		path := func(s *client.Session, turn skein.TurnID, what string) string {
			return "/v1/deadletters/" + string(s.ID()) + "/" + turn.String() + "/" + what
		}
		for _, tt := range []struct {
			node   skein.NodeID
			method string
			path   string
			want   skein.Code
		}{
			{bare, "GET", "/v1/deadletters", skein.CodeRefused},
			{"us-a-1", "POST", path(back, kept, "retry"), skein.CodeRefused},
			{bare, "POST", path(gone, lost, "retry"), skein.CodeConflict}, // it has a later turn behind it
			{bare, "POST", "/v1/deadletters/eu~nobody/web:1/drop", skein.CodeUnknownSession},
			{bare, "POST", path(back, skein.TurnID{Client: "other", Counter: 1}, "drop"), skein.CodeConflict},
		} {
			var none struct{}
			if f := m.operate(tt.node, tt.method, tt.path, &none); f.Error.Number != tt.want {
				t.Errorf("%s %s at %s: got %+v, want %s", tt.method, tt.path, tt.node, f, tt.want)
			}
		}
		if got := m.letters("us-a-1"); got != "" {
			t.Errorf("us lists %s", got)
		}

		var done admin.Settled
		m.operate(bare, "POST", path(gone, lost, "drop"), &done)
		if done.Status != "dead" || done.Known {
			t.Errorf("drop: got %+v", done)
		}
		m.operate(leader, "POST", path(gone, lost, "drop"), &done)
		if !done.Known {
			t.Errorf("drop again: got %+v", done)
		}

		mended.Store(true)
		m.operate(bare, "POST", path(back, kept, "retry"), &done)
		if done.Status != "waiting" || done.Known {
			t.Errorf("retry: got %+v", done)
		}
		m.Eventually("the next attempt", 5*time.Second, func() bool {
			m.operate(bare, "POST", path(back, kept, "retry"), &done)
			return done.Known && done.Status == "running"
		})
		m.Kill(leader)
		m.answered(back, kept, "explain mountain kept")
		var none struct{}
		if f := m.operate(bare, "POST", path(back, kept, "retry"), &none); f.Error.Number != skein.CodeConflict {
			t.Errorf("retry of an answered turn: got %+v", f)
		}
		m.Eventually("no letters", 5*time.Second, func() bool { return m.letters(m.Leader("eu")) == "" })
		m.countLetters(bare, m.Leader("eu"))
		m.Start(leader)
		m.Eventually("return of "+string(leader), time.Minute, func() bool { return m.Node(leader).Region().Quorum() })
		m.sameHash("eu")
	})
}

// withoutReplica waits until all nodes of the region but one hold a replica, and gives that one.
func (m *Mesh) withoutReplica(region skein.Region) (bare skein.NodeID) {
	m.t.Helper()
	m.Eventually("one node without a replica", time.Minute, func() bool {
		count := 0
		for _, p := range m.Running() {
			if p.Region == region && p.node.Region().Groups()[0].Status().Role == "none" {
				bare = p.ID
				count++
			}
		}
		return count == 1
	})
	return bare
}

// answered sends the turn again, as a client that comes back, and expects the whole reply of the mended model.
func (m *Mesh) answered(s *client.Session, id skein.TurnID, text string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	turn, err := s.SendID(ctx, id, text)
	m.must(err)
	r, err := turn.Reply(ctx)
	m.must(err)
	want := newModel().Reply(inference.Request{Messages: []inference.Message{{Role: inference.RoleUser, Content: text}}})
	if r.Text != want || r.Attempts < 6 {
		m.t.Errorf("after the retry, attempt %d:\n%s\nwant\n%s", r.Attempts, r.Text, want)
	}
}

// countLetters compares what the nodes' meters say after one retry and one drop through node bare.
func (m *Mesh) countLetters(bare, voter skein.NodeID) {
	m.t.Helper()
	for _, tt := range []struct {
		node skein.NodeID
		want string
	}{
		{voter, "\nskein_dead_letters{group=\"0\"} 0\n"},
		{bare, "\nskein_dead_letters_dropped_total 1\n"},
		{bare, "\nskein_dead_letters_retried_total 1\n"},
	} {
		var metrics string
		if m.operate(tt.node, "GET", "/metrics", &metrics); !strings.Contains(metrics, tt.want) {
			m.t.Errorf("%s does not say %q", tt.node, tt.want)
		}
	}
}
