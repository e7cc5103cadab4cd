package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// serveSocket serves a session over a WebSocket: each message is one JSON object, a turn from the client, one
// of the events from here.
func (g *Gateway) serveSocket(w http.ResponseWriter, r *http.Request, who caller) error {
	id, err := g.sessionOf(r)
	if err != nil {
		return err
	}
	if r.ProtoMajor != 1 || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return httpFault(http.StatusUpgradeRequired, "this route is a WebSocket over HTTP/1.1 (RFC 6455)")
	}
	if !g.originAllowed(r) {
		return skein.Fault(skein.CodeForbidden, "pages of %.80q may not open a WebSocket here", r.Header.Get("Origin"))
	}
	if g.isDraining() {
		return skein.Fault(skein.CodeDraining, "%s takes no new clients", g.cfg.Node)
	}
	if !g.sockets.enterUpTo(g.cfg.Limits.Connections) {
		return skein.Fault(skein.CodeOverloaded, "%s has as many WebSockets as it may", g.cfg.Node)
	}
	defer g.sockets.leave()
	q := r.URL.Query()
	o := session.Opening{Session: id, Subject: who.subject, Assistant: q.Get("assistant"), Create: q.Get("resume") != "true"}
	if a := o.Assistant; a != "" && !skein.ValidName(a) {
		return skein.Fault(skein.CodeMalformed, "assistant %.80q is no name", a)
	}
	if err := g.opens.allow(who.subject, who.started); err != nil {
		return err
	}
	sessions := g.home(id, "")
	st, created, err := g.openSession(r.Context(), sessions, o)
	if err != nil {
		return gone(r, err)
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wsProtocol}, OriginPatterns: g.cfg.Origins})
	if err != nil {
		// Accept has answered: the handshake is none.
		g.m.refused()
		g.log.Debug("websocket refused", "remote", r.RemoteAddr, "err", err)
		return nil
	}
	o.Create = false
	g.serveTalk(r.Context(), conn, &line{g: g, who: who.identity, o: o, sess: sessions}, func(f socketForm) []byte {
		s := f.state(st)
		s.Created = created
		return encoded(s)
	})
	return nil
}

// originAllowed reports whether the page that asks, if it is a page, is of this host or of one that the operator
// lists. Without the check any page could speak with what a browser holds for this one.
func (g *Gateway) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) || slices.ContainsFunc(g.cfg.Origins, func(host string) bool {
		return strings.EqualFold(host, u.Host)
	})
}

// serveTalk runs the line l over an accepted WebSocket.
func (g *Gateway) serveTalk(ctx context.Context, conn *websocket.Conn, l *line, opened func(socketForm) []byte) {
	defer conn.CloseNow()
	conn.SetReadLimit(-1) // readMessage has the limit: the library's would close before the client is told why
	f := socketForm{jsonForm{session: l.o.Session, gateway: g.cfg.Node, typed: true}}
	l.form, l.every = f, eventSign
	l.write = func(msgs [][]byte) error {
		ctx, cancel := context.WithTimeout(ctx, writeWithin)
		defer cancel()
		for _, m := range msgs {
			if err := conn.Write(ctx, websocket.MessageText, m); err != nil {
				return err
			}
		}
		return nil
	}
	// A read that is given up closes the connection, so what was written goes first: the reader is told to
	// stop, and the connection is closed when the line has ended.
	reading, stop := context.WithCancel(ctx)
	defer stop()
	l.stop = stop
	in := make(chan incoming)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		readSocket(ctx, reading, conn, in)
	}()
	l.run(ctx, opened(f), func() (request, error) { return l.nextMessage(reading, in) })
	stop()
	conn.Close(closing(l.broke))
	<-ended
}

// incoming is one message of a client, or why there are no more.
type incoming struct {
	data []byte
	err  error
}

// readSocket reads messages until the connection ends or reading does.
func readSocket(ctx, reading context.Context, conn *websocket.Conn, in chan<- incoming) {
	for {
		data, err := readMessage(ctx, conn)
		select {
		case in <- incoming{data: data, err: err}:
		case <-reading.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// readMessage reads one message of at most maxBody bytes.
func readMessage(ctx context.Context, conn *websocket.Conn) ([]byte, error) {
	kind, r, err := conn.Reader(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, skein.Fault(skein.CodeMalformed, "a message is text, one JSON object")
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(data) > maxBody {
		return nil, skein.Fault(skein.CodeTooLarge, "a message has at most %d bytes", maxBody)
	}
	return data, err
}

// maxReason is how many bytes the reason of a close has at most (RFC 6455, section 5.5).
const maxReason = 123

// closing gives the status (RFC 6455, section 7.4.1) and the reason with which a WebSocket is closed.
func closing(broke error) (websocket.StatusCode, string) {
	if broke == nil {
		return websocket.StatusGoingAway, ""
	}
	status := websocket.StatusPolicyViolation
	switch skein.CodeOf(broke) {
	case skein.CodeMalformed:
		status = websocket.StatusInvalidFramePayloadData
	case skein.CodeTooLarge:
		status = websocket.StatusMessageTooBig
	case skein.CodeOverloaded, skein.CodeRateLimited:
		status = websocket.StatusTryAgainLater
	case skein.CodeInternal:
		return websocket.StatusInternalError, ""
	}
	reason := strings.ToValidUTF8(broke.Error(), "")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return status, reason
}

// nextMessage gives the next turn that the client asks for.
func (l *line) nextMessage(reading context.Context, in <-chan incoming) (request, error) {
	var got incoming
	select {
	case got = <-in:
	case <-reading.Done():
		return request{}, io.EOF
	}
	switch {
	case websocket.CloseStatus(got.err) == websocket.StatusNormalClosure, websocket.CloseStatus(got.err) == websocket.StatusGoingAway:
		return request{}, errGone
	case got.err != nil:
		return request{}, got.err
	}
	t, err := decodeTurn(got.data)
	if err != nil {
		return request{}, err
	}
	m := session.Message{Session: l.o.Session, Subject: l.who.subject, Text: t.Text, Offset: t.Offset}
	if m.Turn, err = turnID(t.ID, nil); err != nil {
		return request{}, err
	}
	return request{message: m}, nil
}

// socketForm encodes for a WebSocket.
type socketForm struct{ jsonForm }

func (f socketForm) update(u session.Update) []byte {
	switch u.Kind {
	case session.UpdateAccepted:
		return encoded(f.accepted(u))
	case session.UpdatePiece:
		return encoded(f.piece(u))
	case session.UpdateCompleted:
		return encoded(f.completed(u))
	}
	return nil
}

func (f socketForm) alive(u session.Update) []byte {
	return encoded(f.piece(session.Update{Turn: u.Turn, Offset: u.Offset, Attempt: u.Attempt, Seq: u.Seq}))
}

// closed and said are never asked for on a WebSocket, whose messages are turns.
func (f socketForm) closed(*session.State) []byte { return nil }

func (f socketForm) said(session.Findings) []byte { return nil }

func (f socketForm) history(p page) []byte { return encoded(f.page(p)) }

// socketFault is the message "error"; with Turn it is about that turn, otherwise the connection ends.
type socketFault struct {
	Type  string    `json:"type"`
	Turn  string    `json:"turn,omitempty"`
	Error faultJSON `json:"error"`
}

func (f socketForm) fault(turn skein.TurnID, err error) []byte {
	m := socketFault{Type: "error"}
	if turn != (skein.TurnID{}) {
		m.Turn = turn.String()
	}
	_, m.Error = faultOf(err)
	return encoded(m)
}

func (f socketForm) peers([]Peer) []byte { return nil }

// goAway asks the client to connect anew, which DNS leads elsewhere; a browser cannot choose an address.
func (f socketForm) goAway([]Peer) []byte {
	return encoded(struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}{"go_away", "draining"})
}
