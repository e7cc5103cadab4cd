package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "0123456789abcdef"

// fakeNode is a mesh, a group and a health with behaviour: drains are remembered, sessions are paged.
type fakeNode struct {
	mu       sync.Mutex // guards draining
	draining map[skein.NodeID]bool
	members  []Member
	sessions []Session
	live     error
	ready    error
	letters  []DeadLetter
	dropped  []string
	asked    session.Query // the last one

	backup    BackupState
	kept      int
	recovered uint64

	hold chan struct{} // Drain waits for it when set
	held chan struct{} // Drain says here that it waits
}

func (f *fakeNode) Members() []Member { return f.members }

func (f *fakeNode) Drain(ctx context.Context, node skein.NodeID, on bool) error {
	if f.hold != nil {
		f.held <- struct{}{}
		select {
		case <-f.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !slices.ContainsFunc(f.members, func(m Member) bool { return m.Node == node }) {
		return skein.Fault(skein.CodeUnknownNode, "%s is no member", node)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.draining[node] = on
	return nil
}

func (f *fakeNode) Status() []GroupStatus {
	return []GroupStatus{
		{Role: "leader", Leader: "eu-a-1", Term: 3, Quorum: true, HashIndex: 9, Hash: "abcd", SurvivesZone: true},
		{Group: 1, Role: "follower", Leader: "eu-b-1", Term: 4, Quorum: true, SurvivesZone: true},
	}
}

func (f *fakeNode) Sessions(_ context.Context, after skein.SessionID, limit int) ([]Session, error) {
	if f.sessions == nil {
		return nil, errors.New("disk on fire")
	}
	var page []Session
	for _, s := range f.sessions {
		if s.Session > after && len(page) < limit {
			page = append(page, s)
		}
	}
	return page, nil
}

func (f *fakeNode) Live() error  { return f.live }
func (f *fakeNode) Ready() error { return f.ready }

func newFake() *fakeNode {
	f := &fakeNode{draining: map[skein.NodeID]bool{}, members: []Member{
		{Node: "us-a-1", Region: "us", Zone: "a", Status: "alive", Voter: true},
		{Node: "eu-b-1", Region: "eu", Zone: "b", Status: "dead", Voter: true},
		{Node: "eu-a-1", Region: "eu", Zone: "a", Status: "alive", Voter: true},
		{Node: "eu-a-2", Region: "eu", Zone: "a", Status: "suspect", Draining: true},
	}}
	for i := range 5 {
		f.sessions = append(f.sessions, Session{Session: skein.SessionID(fmt.Sprintf("eu~s%d", i)), Subject: "ann"})
	}
	return f
}

func newServer(t *testing.T, f *fakeNode, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{Node: "eu-a-1", Region: "eu", Zone: "a", Token: testToken, Build: Build{Version: "1.2.3"},
		Mesh: f, Groups: f, DeadLetters: f, Keeping: f, Backups: f, Recovery: f, Health: f,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(s *Server, method, path, auth string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	f := newFake()
	s := newServer(t, f, nil)
	tests := []struct {
		method, path string
		status       int
		want         string // part of the body
	}{
		{"GET", "/v1/members", 200, `{"members":[{"node":"eu-a-1"`},
		{"GET", "/v1/leader", 200, `{"region":"eu","group":0,"leader":"eu-a-1","me":true,"term":3,"quorum":true,"groups":[{"group":0,`},
		{"GET", "/v1/groups", 200, `{"region":"eu","groups":[{"group":0,"role":"leader","leader":"eu-a-1"`},
		{"GET", "/v1/groups", 200, `{"group":1,"role":"follower","leader":"eu-b-1"`},
		{"GET", "/v1/sessions?limit=2", 200, `"next":"eu~s1"`},
		{"GET", "/v1/sessions?limit=2&after=eu~s3", 200, `{"sessions":[{"session":"eu~s4"`},
		{"GET", "/v1/sessions?after=eu~s9", 200, `{"sessions":[]}`},
		{"GET", "/v1/sessions?limit=0", 400, `"code":"malformed","number":2,"message":`},
		{"GET", "/v1/sessions?limit=1001", 400, `"number":2`},
		{"GET", "/v1/sessions?limit=x", 400, `"number":2`},
		{"GET", "/v1/sessions?after=nobody", 400, `"number":2`},
		{"POST", "/v1/nodes/eu-b-1/drain", 200, `{"node":"eu-b-1","draining":true}`},
		{"POST", "/v1/nodes/eu-b-1/undrain", 200, `"draining":false`},
		{"POST", "/v1/nodes/nobody/drain", 404, `"code":"unknown_node","number":24`},
		{"POST", "/v1/nodes/a%20b/drain", 400, `"number":2`},
		{"GET", "/v1/nodes/eu-b-1/drain", 405, `takes POST`},
		{"POST", "/v1/members", 405, `takes GET`},
		{"GET", "/v1/secrets", 404, `"number":2`},
		{"GET", "/metrics", 200, "up 1"},
		{"GET", "/version", 200, `"version":"1.2.3"`},
		{"GET", "/debug/status", 200, `"hash_index":9,"hash":"abcd"`},
		{"GET", "/debug/status", 200, `"groups":[{"group":0,"role":"leader"`},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := ask(s, tt.method, tt.path, "Bearer "+testToken)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s; want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
	if f.draining["eu-b-1"] {
		t.Error("eu-b-1 still drains after undrain")
	}
}

func TestNothingWithoutToken(t *testing.T) {
	var refused []skein.Code
	s := newServer(t, newFake(), func(c *Config) { c.Refused = func(code skein.Code) { refused = append(refused, code) } })
	paths := []string{"/v1/members", "/v1/sessions", "/metrics", "/version", "/debug/status", "/", "/nowhere", "/healthz/../v1/members"}
	auths := []string{"", "Bearer ", "Bearer wrong", "Bearer " + testToken + "x", "Basic " + testToken, testToken}
	for _, path := range paths {
		for _, auth := range auths {
			if w := ask(s, "GET", path, auth); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"number":5`) {
				t.Errorf("%s with %q: got %d %s; want 401 with code 5", path, auth, w.Code, w.Body)
			}
		}
	}
	if got, want := len(refused), len(paths)*len(auths); got != want {
		t.Errorf("refusals counted: got %d, want %d", got, want)
	}
	none := newServer(t, newFake(), func(c *Config) { c.Token = "" })
	if w := ask(none, "GET", "/v1/members", "Bearer "); w.Code != http.StatusUnauthorized {
		t.Errorf("no token configured: got %d, want 401", w.Code)
	}
}

func TestProbes(t *testing.T) {
	tests := []struct {
		path        string
		live, ready error
		status      int
		want        string
	}{
		{"/healthz", nil, errors.New("no leader"), 200, `{"status":"ok","node":"eu-a-1"}`},
		{"/livez", errors.New("stuck"), nil, 503, `"status":"stuck"`},
		{"/readyz", nil, nil, 200, `"status":"ok"`},
		{"/readyz", nil, errors.New("no leader"), 503, `"status":"no leader"`},
	}
	for _, tt := range tests {
		f := newFake()
		f.live, f.ready = tt.live, tt.ready
		w := ask(newServer(t, f, nil), "GET", tt.path, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %d %s; want %d with %s", tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	if w := ask(newServer(t, newFake(), nil), "POST", "/readyz", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /readyz: got %d, want 405", w.Code)
	}
}

func TestRegions(t *testing.T) {
	w := ask(newServer(t, newFake(), nil), "GET", "/v1/regions", "Bearer "+testToken)
	var got struct{ Regions []Region }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []Region{
		{Region: "eu", Zones: []Zone{{"a", 2, 2}, {"b", 1, 0}}, Nodes: 3, Alive: 2, Draining: 1, Voters: 1,
			Local: true, Leader: "eu-a-1", Leaders: []skein.NodeID{"eu-a-1", "eu-b-1"}, Quorum: true, SurvivesZone: true},
		{Region: "us", Zones: []Zone{{"a", 1, 1}}, Nodes: 1, Alive: 1, Voters: 1, Leaders: []skein.NodeID{}},
	}
	if fmt.Sprint(got.Regions) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant %+v", got.Regions, want)
	}
}

func TestForeignErrorKeepsItsWords(t *testing.T) {
	f := newFake()
	f.sessions = nil
	w := ask(newServer(t, f, nil), "GET", "/v1/sessions", "Bearer "+testToken)
	if w.Code != 500 || strings.Contains(w.Body.String(), "fire") || !strings.Contains(w.Body.String(), `"number":1`) {
		t.Errorf("got %d %s; want 500 with code 1 and without the cause", w.Code, w.Body)
	}
}

func TestTooManyRequests(t *testing.T) {
	f := newFake()
	f.hold, f.held = make(chan struct{}), make(chan struct{})
	s := newServer(t, f, nil)
	var wg sync.WaitGroup
	for range maxRequests {
		wg.Go(func() { ask(s, "POST", "/v1/nodes/eu-a-1/drain", "Bearer "+testToken) })
		<-f.held
	}
	if w := ask(s, "GET", "/v1/members", "Bearer "+testToken); w.Code != http.StatusServiceUnavailable {
		t.Errorf("over the limit: got %d, want 503", w.Code)
	}
	if w := ask(s, "GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("a probe under load: got %d, want 200", w.Code)
	}
	close(f.hold)
	wg.Wait()
}

func TestRunStops(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := newServer(t, newFake(), nil)
	go func() { ended <- s.Run(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + ln.Addr().String() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %s, want 200", resp.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run after a stop: %v", err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Error("the listener still accepts after Run returned")
	}
}

func TestNewWantsItsParts(t *testing.T) {
	_, err := New(Config{})
	if err == nil || !strings.Contains(err.Error(), "Node is empty") || !strings.Contains(err.Error(), "Mesh, Groups, DeadLetters, Keeping, Backups, Recovery and Health") {
		t.Errorf("got %v, want both faults", err)
	}
}

func FuzzSessionsQuery(f *testing.F) {
	for _, seed := range []string{"", "limit=1", "limit=-1", "after=eu~a&limit=3", "after=%00", "limit=99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		s, err := New(Config{Node: "n", Token: testToken, Mesh: newFake(), Groups: newFake(), DeadLetters: newFake(), Keeping: newFake(), Backups: newFake(), Recovery: newFake(), Health: newFake()})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/v1/sessions", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer "+testToken)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("query %q: got %d", query, w.Code)
		}
	})
}
