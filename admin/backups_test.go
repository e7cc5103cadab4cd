package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
)

// Start takes one backup.
func (f *fakeNode) Start(_ context.Context, to string, keep int) (BackupState, error) {
	switch {
	case !strings.HasPrefix(to, "file:///"):
		return BackupState{}, skein.Fault(skein.CodeMalformed, "to: %q", to)
	case f.backup.Running:
		return BackupState{}, skein.Fault(skein.CodeOverloaded, "one runs")
	}
	f.backup, f.kept = BackupState{Node: "eu-a-1", Running: true, To: to}, keep
	return f.backup, nil
}

func (f *fakeNode) State() BackupState { return f.backup }

func (f *fakeNode) Replicas() ([]Replica, error) {
	return []Replica{{Group: 0, Node: "eu-a-1", Epoch: 1, Last: 7, LastTerm: 2}}, nil
}

func (f *fakeNode) Recover(groups []uint32, epoch uint64) error {
	if len(groups) != 1 || groups[0] != 0 {
		return skein.Fault(skein.CodeMalformed, "groups %v", groups)
	}
	if f.recovered != 0 {
		return skein.Fault(skein.CodeRefused, "group 0 has a leader")
	}
	f.recovered = epoch
	return nil
}

func TestBackupsAndRecovery(t *testing.T) {
	f := newFake()
	s := newServer(t, f, nil)
	tests := []struct {
		method, path string
		status       int
		want         string // part of the body
	}{
		{"GET", "/v1/backups", 200, `"running":false`},
		{"POST", "/v1/backups", 400, `"number":2`},
		{"POST", "/v1/backups?to=file:///b&keep=0", 400, `keep`},
		{"POST", "/v1/backups?to=file:///b&keep=x", 400, `keep`},
		{"POST", "/v1/backups?to=file:///b&keep=3", 200, `"running":true,"to":"file:///b"`},
		{"POST", "/v1/backups?to=file:///b", 503, `one runs`},
		{"GET", "/v1/backups", 200, `"running":true`},
		{"GET", "/v1/replicas", 200, `{"region":"eu","replicas":[{"group":0,"node":"eu-a-1","epoch":1,"last":7,"last_term":2`},
		{"GET", "/v1/recover", 405, `takes POST`},
		{"POST", "/v1/recover?region=us&epoch=9&groups=0", 400, `this node is of region eu`},
		{"POST", "/v1/recover?region=eu&epoch=1&groups=0", 400, `epoch`},
		{"POST", "/v1/recover?region=eu&epoch=9", 400, `groups`},
		{"POST", "/v1/recover?region=eu&epoch=9&groups=a", 400, `groups`},
		{"POST", "/v1/recover?region=eu&epoch=9&groups=1", 400, `groups [1]`},
		{"POST", "/v1/recover?region=eu&epoch=9&groups=0", 200, `{"node":"eu-a-1","groups":[0],"epoch":9}`},
		{"POST", "/v1/recover?region=eu&epoch=10&groups=0", 409, `has a leader`},
	}
	for _, tt := range tests {
		w := ask(s, tt.method, tt.path, "Bearer "+testToken)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: got %d %s; want %d with %s", tt.method, tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	if f.kept != 3 || f.recovered != 9 {
		t.Errorf("kept %d, recovered in epoch %d; want 3 and 9", f.kept, f.recovered)
	}
	for _, path := range []string{"/v1/backups?to=file:///c", "/v1/recover?region=eu&epoch=11&groups=0"} {
		if w := ask(s, "POST", path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: got %d", path, w.Code)
		}
	}
}
