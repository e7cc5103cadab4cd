package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/skein-mesh/skein"
)

// chat is a client's end of a WebSocket; what it reads is held against the document.
type chat struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *server) socket(t *testing.T, path string, header http.Header, protocols ...string) (*chat, *http.Response) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: service}}
	t.Cleanup(tr.CloseIdleConnections)
	conn, res, err := websocket.Dial(t.Context(), "https://"+s.https.String()+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: tr}, HTTPHeader: header, Subprotocols: protocols,
	})
	if err != nil {
		if res == nil {
			t.Fatal(err)
		}
		return nil, res
	}
	t.Cleanup(func() { conn.CloseNow() })
	return &chat{t: t, conn: conn}, res
}

func (c *chat) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// next gives the next message that is no sign of life.
func (c *chat) next() map[string]any {
	c.t.Helper()
	doc := document(c.t)
	for {
		_, data, err := c.conn.Read(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(data, &m); err != nil {
			c.t.Fatal(err)
		}
		kind, _ := m["type"].(string)
		schema := map[string]string{"opened": "Session", "accepted": "Accepted", "piece": "Piece", "completed": "Completed", "error": "Error"}[kind]
		if schema != "" {
			if err := doc.Components.Schemas[schema].Value.VisitJSON(m); err != nil {
				c.t.Errorf("message %s: %v", data, err)
			}
		}
		if kind != "piece" || m["text"] != "" {
			return m
		}
	}
}

func (c *chat) want(kind string) map[string]any {
	c.t.Helper()
	m := c.next()
	if m["type"] != kind {
		c.t.Fatalf("got %v, want %s", m, kind)
	}
	return m
}

// reply reads a turn to its end.
func (c *chat) reply() (pieces string, done map[string]any) {
	c.t.Helper()
	for {
		m := c.next()
		switch m["type"] {
		case "piece":
			pieces += m["text"].(string)
		case "completed":
			return pieces, m
		case "accepted":
		default:
			c.t.Fatalf("got %v in a turn", m)
		}
	}
}

func (c *chat) wantCode(code skein.Code) map[string]any {
	c.t.Helper()
	m := c.want("error")
	if got := m["error"].(map[string]any)["number"]; got != float64(code) {
		c.t.Fatalf("got %v, want %s", m, code)
	}
	return m
}

func (s *server) bearerHeader(t *testing.T, subject string) http.Header {
	return http.Header{"Authorization": {"Bearer " + s.token(t, subject)}}
}

func TestSocketConversation(t *testing.T) {
	s := start(t, nil)
	c, _ := s.socket(t, "/v1/sessions/w/ws", s.bearerHeader(t, "ann"))
	if o := c.want("opened"); o["session"] != "eu~w" || o["created"] != true || o["via"] != "eu-1" {
		t.Errorf("opened %v", o)
	}
	c.send(`{"id":"tab:1","text":"over a socket"}`)
	if text, done := c.reply(); text != "you said: over a socket" || done["reply"] != text || done["turn"] != "tab:1" {
		t.Errorf("pieces %q, completed %v", text, done)
	}
	c.send(`{"id":"tab:1","text":"over a socket","offset":9}`)
	if text, _ := c.reply(); text != " over a socket" {
		t.Errorf("repeat from 9: %q", text)
	}
	c.send(`{"id":"tab:1","text":"other"}`)
	if m := c.wantCode(skein.CodeTurnConflict); m["turn"] != "tab:1" {
		t.Errorf("conflict is about %v", m["turn"])
	}
	c.send(`{"id":"tab:2","text":"hold on"}`)
	c.want("accepted")
	c.want("piece")
	drained := make(chan error)
	go func() { drained <- s.g.Drain(context.Background()) }()
	c.want("go_away")
	s.free()
	c.reply()
	_, _, err := c.conn.Read(t.Context())
	if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
		t.Errorf("closed with %v, want going away", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestSocketBrowser(t *testing.T) {
	s := start(t, func(c *Config) { c.Origins = []string{"shop.example"} })
	token := s.token(t, "ann")
	for _, tt := range []struct {
		name, origin string
		protocols    []string
		status       int
	}{
		{"own host", "https://" + s.https.String(), []string{"bearer", token}, 101},
		{"listed host", "https://shop.example", []string{"bearer", token}, 101},
		{"no page", "", []string{"bearer", token}, 101},
		{"foreign host", "https://evil.example", []string{"bearer", token}, 403},
		{"opaque origin", "null", []string{"bearer", token}, 403},
		{"no token", "https://shop.example", nil, 401},
		{"bad token", "https://shop.example", []string{"bearer", token + "x"}, 401},
		{"token without scheme", "https://shop.example", []string{token}, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if tt.origin != "" {
				h.Set("Origin", tt.origin)
			}
			c, res := s.socket(t, "/v1/sessions/b/ws", h, tt.protocols...)
			if res.StatusCode != tt.status {
				t.Fatalf("answered %d, want %d", res.StatusCode, tt.status)
			}
			if c != nil && c.conn.Subprotocol() != "bearer" {
				t.Errorf("subprotocol %q", c.conn.Subprotocol())
			}
		})
	}
}

func TestSocketRefusals(t *testing.T) {
	s := start(t, nil)
	for _, tt := range []struct {
		name, message string
		want          skein.Code
	}{
		{"no json", "hello", skein.CodeMalformed},
		{"unknown field", `{"text":"x","y":1}`, skein.CodeMalformed},
		{"bad id", `{"id":"::","text":"x"}`, skein.CodeMalformed},
		{"long text", `{"text":"` + strings.Repeat("x", 9000) + `"}`, skein.CodeTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := s.socket(t, "/v1/sessions/r/ws", s.bearerHeader(t, "ann"))
			c.want("opened")
			c.send(tt.message)
			c.wantCode(tt.want)
		})
	}
	c, _ := s.socket(t, "/v1/sessions/r/ws", s.bearerHeader(t, "ann"))
	c.want("opened")
	c.send(`{"text":"` + strings.Repeat("x", maxBody) + `"}`)
	c.wantCode(skein.CodeTooLarge)
	if _, _, err := c.conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a huge message: %v", err)
	}
	if _, res := s.socket(t, "/v1/sessions/none/ws?resume=true", s.bearerHeader(t, "ann")); res.StatusCode != http.StatusNotFound {
		t.Errorf("resume of nothing: %d", res.StatusCode)
	}
}
