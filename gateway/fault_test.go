package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

func TestFaultsAreCountedOnce(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h2")
	native := s.stream(t, s.dial(t))
	native.send(open("native", s.token(t, "ann")))
	native.wantOpened()
	socket, _ := s.socket(t, "/v1/sessions/socket/ws", s.bearerHeader(t, "ann"))
	socket.want("opened")
	for _, tt := range []struct {
		name string
		ask  func()
	}{
		{"json", func() { w.do("POST", "/v1/sessions/json/turns", `{"id":"web:1","text":"die"}`, w.auth("ann")...) }},
		{"events", func() {
			_, in := w.events(t.Context(), "/v1/sessions/events/turns", `{"id":"web:1","text":"die"}`)
			for _, ok := in.next(); ok; _, ok = in.next() {
			}
		}},
		{"native", func() {
			native.send(turn(1, "die", 0))
			for f := native.next(); f.GetError() == nil; f = native.next() {
			}
		}},
		{"socket", func() {
			socket.send(`{"id":"web:1","text":"die"}`)
			for m := socket.next(); m["type"] != "error"; m = socket.next() {
			}
		}},
	} {
		before := s.count("skein_gateway_errors_total")
		tt.ask()
		if got := s.count("skein_gateway_errors_total") - before; got != 1 {
			t.Errorf("%s: one error counts as %v", tt.name, got)
		}
	}
}

func TestSocketCloseStatus(t *testing.T) {
	s := start(t, nil)
	for _, tt := range []struct {
		name, message string
		kind          websocket.MessageType
		want          websocket.StatusCode
		reason        string
	}{
		{"no json", "hello", websocket.MessageText, websocket.StatusInvalidFramePayloadData, "malformed: body:"},
		{"binary", `{"text":"x"}`, websocket.MessageBinary, websocket.StatusInvalidFramePayloadData, "malformed: a message is text"},
		{"huge", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, websocket.MessageText, websocket.StatusMessageTooBig, "too_large:"},
		{"long field", `{"` + strings.Repeat("é", 500) + `":1}`, websocket.MessageText, websocket.StatusInvalidFramePayloadData, "malformed:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := s.socket(t, "/v1/sessions/r/ws", s.bearerHeader(t, "ann"))
			c.want("opened")
			if err := c.conn.Write(t.Context(), tt.kind, []byte(tt.message)); err != nil {
				t.Fatal(err)
			}
			c.want("error")
			_, _, err := c.conn.Read(t.Context())
			if websocket.CloseStatus(err) != tt.want || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("closed with %v; want %d, %q", err, tt.want, tt.reason)
			}
		})
	}
}

// What a client holds cannot end inside a character; if it says so, it is told, and is sent no broken one.
func TestOffsetInsideACharacter(t *testing.T) {
	s := start(t, nil)
	w := s.web(t, "h2")
	const path, body = "/v1/sessions/u/turns", `{"id":"web:1","text":"鞋"}`
	w.do("POST", path, body, w.auth("ann")...)
	at := len("you said: ")
	for offset, want := range map[int]int{at: 200, at + 1: 400, at + 2: 400, at + 3: 200, at + 4: 200} {
		a := w.do("POST", path, `{"id":"web:1","text":"鞋","offset":`+strconv.Itoa(offset)+`}`, w.auth("ann")...)
		if a.status != want {
			t.Errorf("offset %d: got %d %s, want %d", offset, a.status, a.body, want)
		}
		res, in := w.events(t.Context(), path, body, "Last-Event-ID", strconv.Itoa(offset))
		if res.StatusCode == 200 {
			for e, ok := in.next(); ok; e, ok = in.next() {
				if text, _ := e.data["text"].(string); strings.ContainsRune(text, '\ufffd') {
					t.Errorf("offset %d: piece %q", offset, text)
				}
				if e.name == "error" && want == 200 {
					t.Errorf("offset %d: %v", offset, e.data)
				}
			}
		}
	}
}

// A home whose nodes are silent is given up within homeWithin, and one that nobody can dial sooner.
func TestHomeIsGivenUpInTime(t *testing.T) {
	silent := func(ctx context.Context, _ skein.Region) (net.Conn, error) {
		near, far := net.Pipe()
		go io.Copy(io.Discard, far) // ends when near is closed
		return near, nil
	}
	hangs := func(ctx context.Context, _ skein.Region) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	nobody := func(context.Context, skein.Region) (net.Conn, error) {
		return nil, skein.Fault(skein.CodeHomeUnreachable, "no node is alive")
	}
	for _, tt := range []struct {
		name string
		dial func(context.Context, skein.Region) (net.Conn, error)
		most time.Duration
	}{{"silent", silent, homeWithin}, {"dials hang", hangs, homeWithin}, {"nobody alive", nobody, 2 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t)
			p.eu.cfg.Abroad = tt.dial
			synctest.Test(t, func(t *testing.T) {
				o := session.Opening{Session: "us~x", Subject: "ann"}
				home := p.eu.home(o.Session, "c")
				m := session.Message{Session: o.Session, Subject: "ann", Turn: skein.TurnID{Client: "c", Counter: 1}, Text: "x"}
				for what, ask := range map[string]func() error{
					"open":    func() error { _, _, err := p.eu.openSession(t.Context(), home, o); return err },
					"history": func() error { _, err := p.eu.history(t.Context(), home, o, 0, 0); return err },
					"turn":    func() error { return home.Turn(t.Context(), m, func(session.Update) error { return nil }) },
				} {
					began := time.Now()
					err := ask()
					if took := time.Since(began); skein.CodeOf(err) != skein.CodeHomeUnreachable || took > tt.most {
						t.Errorf("%s: %v after %s; want home_unreachable within %s", what, err, took, tt.most)
					}
				}
			})
		})
	}
}

// A connection whose streams never show a token is closed, also when they show nothing that can be read.
func TestNativeStrangersAreClosed(t *testing.T) {
	s := start(t, nil)
	conn := s.dial(t)
	for range maxStrangers {
		st, err := conn.OpenStreamSync(t.Context())
		if err != nil {
			break
		}
		st.Write([]byte{3, 0xff, 0xff, 0xff})
		io.Copy(io.Discard, st)
	}
	select {
	case <-conn.Context().Done():
	case <-time.After(5 * time.Second):
		t.Error("the connection is still open")
	}
	if got := s.count("skein_gateway_refused_frames_total"); got < maxStrangers {
		t.Errorf("%v frames counted, want %d", got, maxStrangers)
	}
}

// A header that never ends is not waited for.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	conn, err := tls.Dial("tcp", s.https.String(), &tls.Config{RootCAs: s.roots, ServerName: service, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(headerLimit + 10*time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is still open: %v", err)
	}
}
