package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/skein-mesh/skein"
)

const (
	maxHeader   = 16 << 10         // bytes of a request's header; a token is half of it
	maxBody     = 64 << 10         // bytes of a request's body: a message with every character escaped
	headerLimit = 5 * time.Second  // to send a header
	bodyLimit   = 10 * time.Second // to send a body
	idleLimit   = 90 * time.Second // between two requests
	wsProtocol  = "bearer"         // of Sec-WebSocket-Protocol, before the token of a browser
)

// servers makes the HTTP servers, which share one handler.
func (g *Gateway) servers() (*http.Server, *http3.Server) {
	h := g.handler()
	h1 := &http.Server{
		Handler: h, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	h1.ConnState = g.countTCP
	h1.Protocols.SetHTTP1(true)
	h1.Protocols.SetHTTP2(true)
	h3 := &http3.Server{Handler: h, MaxHeaderBytes: maxHeader, IdleTimeout: idleLimit, Logger: g.log}
	return h1, h3
}

// countTCP closes a connection over the limit as soon as it is accepted. A hijacked one is counted as a line.
func (g *Gateway) countTCP(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if g.tcp.Add(1) > int64(g.cfg.Limits.Connections) {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		g.tcp.Add(-1)
	}
}

// caller is how handlers get to know who asks.
type caller struct {
	identity
	started time.Time
}

// callerKey is where a request's context holds its caller.
type callerKey struct{}

// handler is every route, behind outer.
func (g *Gateway) handler() http.Handler {
	type route func(http.ResponseWriter, *http.Request, caller) error
	routes := http.NewServeMux()
	with := func(pattern string, serve route) {
		routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			who, _ := r.Context().Value(callerKey{}).(caller)
			if err := serve(w, r, who); err != nil {
				g.m.fault(err)
				writeError(w, err)
			}
		})
	}
	with("POST /v1/sessions/{id}/turns", g.postTurn)
	with("GET /v1/sessions/{id}", g.getSession)
	with("GET /v1/sessions/{id}/history", g.getHistory)
	with("GET /v1/sessions/{id}/ws", g.serveSocket)
	with("POST /v1/sessions/{id}/close", g.postClose)
	with("GET /v1/history", g.getSaid)
	with("/v1/sessions/{id}/turns", wrongMethod(http.MethodPost))
	with("/v1/sessions/{id}", wrongMethod(http.MethodGet))
	with("/v1/sessions/{id}/history", wrongMethod(http.MethodGet))
	with("/v1/sessions/{id}/ws", wrongMethod(http.MethodGet))
	with("/v1/sessions/{id}/close", wrongMethod(http.MethodPost))
	with("/v1/history", wrongMethod(http.MethodGet))
	with("/", func(http.ResponseWriter, *http.Request, caller) error {
		return httpFault(http.StatusNotFound, "no such route")
	})
	return g.outer(routes)
}

// outer does what every request needs: headers, the count of requests, a limit of the body, and who asks.
// Nothing is answered before the token verifies, not even that a route does not exist or has moved.
func (g *Gateway) outer(next http.Handler) http.Handler {
	alt := ""
	if g.cfg.AltSvc != 0 {
		alt = fmt.Sprintf(`h3=":%d"; ma=3600`, g.cfg.AltSvc)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.handlers.enter() // always open: Run only waits for those inside
		defer g.handlers.leave()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		if alt != "" && r.ProtoMajor < 3 {
			h.Set("Alt-Svc", alt)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		who, err := g.verify.verify(bearer(r))
		if err == nil {
			me := caller{identity: who, started: time.Now()}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, me)))
		} else {
			g.m.authFailure()
			g.m.fault(err)
			writeError(w, err)
		}
		// What the handler left of the body is read by the server, which knows no limit of time for it.
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyLimit))
	})
}

func wrongMethod(allow string) func(http.ResponseWriter, *http.Request, caller) error {
	return func(w http.ResponseWriter, _ *http.Request, _ caller) error {
		w.Header().Set("Allow", allow)
		return httpFault(http.StatusMethodNotAllowed, "this route knows only "+allow)
	}
}

// bearer gives the token of a request (RFC 6750, section 2.1), or of a browser's WebSocket, which cannot set
// that header. Other places, as the query, end up in logs.
func bearer(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return ""
	}
	var offered []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			offered = append(offered, strings.TrimSpace(p))
		}
	}
	if len(offered) == 2 && offered[0] == wsProtocol {
		return offered[1]
	}
	return ""
}

// sessionOf gives the full id of the session in the path.
func (g *Gateway) sessionOf(r *http.Request) (skein.SessionID, error) {
	return g.resolve(r.PathValue("id"))
}

// baseContext makes requests end with ctx.
func baseContext(ctx context.Context) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return ctx }
}
