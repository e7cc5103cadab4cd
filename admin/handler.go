package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/skein-mesh/skein"
)

// Pages of GET /v1/sessions and GET /v1/deadletters.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Handler gives the endpoint without a listener.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET /v1/members", s.members)
	s.mux.HandleFunc("GET /v1/regions", s.regions)
	s.mux.HandleFunc("GET /v1/leader", s.leader)
	s.mux.HandleFunc("GET /v1/groups", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, GroupList{s.cfg.Region, s.listGroups()})
	})
	s.mux.HandleFunc("GET /v1/sessions", s.sessions)
	s.mux.HandleFunc("POST /v1/sessions/{session}/close", s.closeSession)
	s.mux.HandleFunc("POST /v1/sessions/{session}/erase", s.eraseSession)
	s.mux.HandleFunc("POST /v1/subjects/{subject}/erase", s.eraseSubject)
	s.mux.HandleFunc("GET /v1/history", s.history)
	s.mux.HandleFunc("GET /v1/deadletters", s.deadLetters)
	s.mux.HandleFunc("POST /v1/deadletters/{session}/{turn}/retry", s.settle("retry", s.cfg.DeadLetters.Retry))
	s.mux.HandleFunc("POST /v1/deadletters/{session}/{turn}/drop", s.settle("drop", s.cfg.DeadLetters.Drop))
	s.mux.HandleFunc("GET /v1/backups", s.backupState)
	s.mux.HandleFunc("POST /v1/backups", s.startBackup)
	s.mux.HandleFunc("GET /v1/replicas", s.replicas)
	s.mux.HandleFunc("POST /v1/recover", s.recover)
	s.mux.HandleFunc("POST /v1/nodes/{id}/drain", func(w http.ResponseWriter, r *http.Request) { s.drain(w, r, true) })
	s.mux.HandleFunc("POST /v1/nodes/{id}/undrain", func(w http.ResponseWriter, r *http.Request) { s.drain(w, r, false) })
	s.mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.cfg.Build) })
	s.mux.HandleFunc("GET /debug/status", s.status)
	s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile) // ?seconds=N, below RequestTimeout
	if s.cfg.Metrics != nil {
		s.mux.Handle("GET /metrics", s.cfg.Metrics)
	}
}

// serve answers the probes, and lets a request with the token through to the routes.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), RequestTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if s.probe(w, r) {
		return
	}
	if err := s.token.allow(r); err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="skein admin"`)
		s.fail(w, err)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.fail(w, skein.Fault(skein.CodeOverloaded, "%d admin requests are running already", maxRequests))
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.unrouted(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// unrouted answers in JSON where the mux would in plain text.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	other := r.Clone(r.Context())
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "" {
			w.Header().Set("Allow", method)
			s.failWith(w, http.StatusMethodNotAllowed, skein.Fault(skein.CodeMalformed, "%.100s takes %s", r.URL.Path, method))
			return
		}
	}
	s.failWith(w, http.StatusNotFound, skein.Fault(skein.CodeMalformed, "there is no %.100s here", r.URL.Path))
}

// probe answers the paths that need no token; they tell no more than whether the node is well.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) bool {
	var check func() error
	switch r.URL.Path {
	case "/healthz", "/livez":
		check = s.cfg.Health.Live
	case "/readyz":
		check = s.cfg.Health.Ready
	default:
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.failWith(w, http.StatusMethodNotAllowed, skein.Fault(skein.CodeMalformed, "%s takes GET", r.URL.Path))
		return true
	}
	answer := struct {
		Status string       `json:"status"`
		Node   skein.NodeID `json:"node"`
	}{verdict(check()), s.cfg.Node}
	code := http.StatusOK
	if answer.Status != "ok" {
		code = http.StatusServiceUnavailable
	}
	write(w, code, answer)
	return true
}

func verdict(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func (s *Server) members(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, struct {
		Members []Member `json:"members"`
	}{s.listMembers()})
}

func (s *Server) regions(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, struct {
		Regions []Region `json:"regions"`
	}{s.listRegions(s.cfg.Groups.Status())})
}

func (s *Server) leader(w http.ResponseWriter, _ *http.Request) {
	answer := Leaders{Region: s.cfg.Region}
	for _, g := range s.cfg.Groups.Status() {
		me := g.Leader != "" && g.Leader == s.cfg.Node
		answer.Groups = append(answer.Groups, Leader{Group: g.Group, Leader: g.Leader, Me: me, Term: g.Term, Quorum: g.Quorum})
	}
	answer.Leader = answer.Groups[0]
	write(w, http.StatusOK, answer)
}

func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	after, limit, err := pageOf(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	// One more than asked for says whether there is a next page.
	list, err := s.cfg.Groups.Sessions(r.Context(), after, limit+1)
	if err != nil {
		s.fail(w, err)
		return
	}
	page := SessionPage{Sessions: list}
	if len(list) > limit {
		page.Sessions = list[:limit]
		page.Next = list[limit-1].Session
	}
	if page.Sessions == nil {
		page.Sessions = []Session{}
	}
	write(w, http.StatusOK, page)
}

// pageOf reads which page is asked for.
func pageOf(r *http.Request) (after skein.SessionID, limit int, err error) {
	if limit, err = pageSize(r.URL.Query().Get("limit")); err != nil {
		return "", 0, err
	}
	if after = skein.SessionID(r.URL.Query().Get("after")); after != "" {
		err = after.Validate()
	}
	return after, limit, err
}

func pageSize(s string) (int, error) {
	if s == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxPage {
		return 0, skein.Fault(skein.CodeMalformed, "limit %.20q: want 1 to %d", s, maxPage)
	}
	return n, nil
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request, on bool) {
	node := skein.NodeID(r.PathValue("id"))
	if !skein.ValidName(string(node)) {
		s.fail(w, skein.Fault(skein.CodeMalformed, "node %.80q is no node id", string(node)))
		return
	}
	if err := s.cfg.Mesh.Drain(r.Context(), node, on); err != nil {
		s.fail(w, err)
		return
	}
	s.cfg.Log.Info("drain state set by an operator", "node", node, "draining", on)
	write(w, http.StatusOK, Drained{Node: node, Draining: on})
}

func (s *Server) fail(w http.ResponseWriter, err error) { s.failWith(w, httpStatus(err), err) }

// failWith tells the code and the words of a skein.Error; of any other error only the log gets the words.
func (s *Server) failWith(w http.ResponseWriter, status int, err error) {
	code := skein.CodeOf(err)
	if s.cfg.Refused != nil {
		s.cfg.Refused(code)
	}
	var body Failure
	body.Error.Code, body.Error.Number = code.String(), code
	if code.Retry() {
		body.Error.RetryAfterMS = time.Second.Milliseconds()
	}
	if e, ok := errors.AsType[*skein.Error](err); ok {
		body.Error.Message = cmp.Or(e.Detail, body.Error.Code)
	} else {
		body.Error.Message = "see the node's log"
		s.cfg.Log.Error("admin request", "error", err)
	}
	write(w, status, body)
}

func httpStatus(err error) int {
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout
	}
	switch skein.CodeOf(err) {
	case skein.CodeMalformed:
		return http.StatusBadRequest
	case skein.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case skein.CodeUnauthenticated, skein.CodeTokenExpired:
		return http.StatusUnauthorized
	case skein.CodeForbidden:
		return http.StatusForbidden
	case skein.CodeUnknownNode, skein.CodeUnknownSession:
		return http.StatusNotFound
	case skein.CodeRefused, skein.CodeConflict, skein.CodeTurnOpen, skein.CodeSessionClosed:
		return http.StatusConflict
	case skein.CodeSessionGone:
		return http.StatusGone
	case skein.CodeRateLimited:
		return http.StatusTooManyRequests
	case skein.CodeOverloaded, skein.CodeNoQuorum, skein.CodeDraining, skein.CodeHomeUnreachable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// write encodes first, so that the length is known and a half answer never looks whole.
func write(w http.ResponseWriter, status int, body any) {
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(body); err != nil {
		http.Error(w, `{"error":{"code":"internal","number":1,"message":"the answer cannot be encoded"}}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	w.Write(buf.Bytes())
}
