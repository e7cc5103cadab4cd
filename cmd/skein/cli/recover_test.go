package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

func replica(group uint32, node skein.NodeID, epoch, term, last uint64) survivor {
	return survivor{Replica: admin.Replica{Group: group, Node: node, Epoch: epoch, LastTerm: term, Last: last}, online: &meshfile.Node{ID: node}}
}

func TestChooseTheBestReplica(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	fenced := replica(0, "f", 1, 9, 99)
	fenced.Fenced = true
	led := replica(1, "a", 1, 3, 5)
	led.Leader = "b"
	tests := []struct {
		name string
		all  []survivor
		want string // "group:node", or part of the error
	}{
		{"the higher index", []survivor{replica(0, "a", 1, 3, 10), replica(0, "b", 1, 3, 11)}, "0:b"},
		{"the higher term before the index", []survivor{replica(0, "a", 1, 4, 10), replica(0, "b", 1, 3, 11)}, "0:a"},
		{"the higher epoch before the term", []survivor{replica(0, "a", 1, 4, 10), replica(0, "b", 7, 2, 3)}, "0:b"},
		{"a whole one before a fenced one", []survivor{fenced, replica(0, "b", 1, 3, 11)}, "0:b"},
		{"a fenced one when there is no other", []survivor{fenced}, "0:f"},
		{"equal ones: the first", []survivor{replica(0, "a", 1, 3, 10), replica(0, "b", 1, 3, 10)}, "0:a"},
		{"groups apart", []survivor{replica(0, "a", 1, 3, 10), replica(1, "a", 1, 3, 10), replica(0, "b", 1, 3, 9), replica(1, "b", 1, 3, 12)}, "0:a 1:b"},
		{"a group with a leader stays", []survivor{replica(0, "a", 1, 3, 10), led}, "0:a"},
		{"nothing is lost", []survivor{led}, "nothing is lost"},
		{"one without state", []survivor{replica(0, "a", 0, 0, 0)}, "no replica with any state"},
		{"none", nil, "no replica with any state"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			picks, err := choose(tt.all, now)
			var got []string
			for _, p := range picks {
				got = append(got, string(rune('0'+p.Group))+":"+string(p.Node))
				if p.epoch <= p.Epoch {
					t.Errorf("%s goes on in epoch %d behind %d", p.Node, p.epoch, p.Epoch)
				}
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = err.Error()
			}
			if err != nil && !strings.Contains(text, tt.want) || err == nil && text != tt.want {
				t.Errorf("got %q, want %q", text, tt.want)
			}
		})
	}
}

func TestRecoverAsks(t *testing.T) {
	var ordered []string
	lost := `{"region":"eu","replicas":[{"group":0,"node":"eu-a-1","epoch":1,"last":7,"last_term":2},{"group":1,"node":"eu-a-1","epoch":5,"last":7,"last_term":2}]}`
	mesh := halfDead(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			ordered = append(ordered, r.URL.Query().Get("groups"))
			w.Write([]byte(`{"node":"eu-a-1"}`))
			return
		}
		w.Write([]byte(lost))
	})
	for _, tt := range []struct {
		args []string
		want string // of the error, "" for none
	}{
		{[]string{"--region", "eu", "--yes-i-know", "us"}, "nothing was changed"},
		{[]string{"--region", "eu"}, "nothing was changed"}, // there is no terminal to type into
		{[]string{"--region", "us", "--yes-i-know", "us"}, "no replica with any state"},
		{[]string{"--region", "xx", "--yes-i-know", "xx"}, "region xx: the mesh file has no node of that region"},
		{[]string{"--yes-i-know", "eu"}, "--region is needed"},
		{[]string{"--region", "eu", "--config", "/does/not/exist", "--yes-i-know", "eu"}, "/does/not/exist"},
		{[]string{"--region", "eu", "--yes-i-know", "eu"}, ""},
	} {
		out, _, err := command(t, append([]string{"recover", "--mesh", mesh}, tt.args...)...)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v: got %v, want %q\n%s", tt.args, err, tt.want, out)
		}
		if tt.want != "" && len(ordered) != 0 {
			t.Errorf("%v: %v was ordered", tt.args, ordered)
		}
	}
	if len(ordered) != 1 || ordered[0] != "0,1" {
		t.Errorf("ordered %v, want both groups at once", ordered)
	}
}

func TestBackupCommand(t *testing.T) {
	asked := 0
	mesh := halfDead(t, func(w http.ResponseWriter, r *http.Request) {
		switch asked++; {
		case r.URL.Query().Get("to") == "file:///full":
			w.Write([]byte(`{"node":"eu-a-1","running":true,"to":"file:///full"}`))
			asked = 100
		case asked > 100:
			w.Write([]byte(`{"node":"eu-a-1","to":"file:///full","error":"no space is left"}`))
		case r.Method == http.MethodPost, asked < 3:
			w.Write([]byte(`{"node":"eu-a-1","running":true,"to":"file:///b"}`))
		default:
			w.Write([]byte(`{"node":"eu-a-1","to":"file:///b","removed":["older"],"backup":{"name":"newer","region":"eu","sessions":3,"bytes":10}}`))
		}
	})
	out, _, err := command(t, "backup", "--mesh", mesh, "--region", "eu", "--to", "file:///b", "--keep", "1")
	if err != nil || !strings.Contains(out, "backup newer of region eu: 3 sessions, 10 bytes") || !strings.Contains(out, "removed older") {
		t.Errorf("got %v\n%s", err, out)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "--to is needed"},
		{[]string{"--to", "ftp://x"}, "want file:///DIRECTORY"},
		{[]string{"--to", "file:///b", "--keep", "-1"}, "want 1 or more"},
		{[]string{"--to", "file:///full", "--region", "eu"}, "no space is left"},
		{[]string{"--to", "file:///b", "--region", "us"}, "region us"},
		{[]string{"--to", "file:///b", "--region", "nowhere"}, "no node of region nowhere"},
		{[]string{"--to", "file:///b", "--node", "nobody"}, "nobody is not in this mesh"},
	} {
		if _, _, err := command(t, append([]string{"backup", "--mesh", mesh}, tt.args...)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %q", tt.args, err, tt.want)
		}
	}
	for _, args := range [][]string{
		{"restore"}, {"restore", "--from", "ftp://x"}, {"restore", "--from", "file:///b"}, {"archive", "get"}, {"archive", "get", "--from", "file:///b"},
		{"archive", "erase", "--from", "file:///b", "--subject", "s"}, {"backup", "list"}, {"backup", "verify", "ftp://x"},
	} {
		if _, _, err := command(t, args...); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}
