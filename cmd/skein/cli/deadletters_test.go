package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

const aLetter = `{"session":"eu~one","turn":"web:3","subject":"ann","text":"a\u001b[31m very\nlong message that goes on and on and on",
	"reason":"no model","failures":5,"attempt":5,"node":"eu-a-1","died_at":"2026-01-02T03:04:05Z","retriable":true}`

func TestDeadLettersOfTheLiving(t *testing.T) {
	letters := aLetter
	mesh := halfDead(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.RequestURI(), "/v1/deadletters?limit=100") {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		fmt.Fprintf(w, `{"dead_letters":[%s],"next":"eu~one"}`, letters)
	})
	row := "eu~one   web:3  ann      2026-01-02 03:04:05Z  5         eu-a-1  yes    no model  a [31m very long message that goes on a…\n"
	for _, args := range [][]string{{"deadletters"}, {"deadletters", "list"}} {
		out, fault, err := command(t, append(args, "--mesh", mesh)...)
		if err != nil || !strings.HasSuffix(out, row) {
			t.Errorf("%v: got %v\n%q\nwant %q", args, err, out, row)
		}
		if !strings.Contains(fault, "skein: warning: region us: no node answers") || !strings.Contains(fault, "skein: region eu has more: --region eu --after eu~one\n") {
			t.Errorf("%v: told %q", args, fault)
		}
	}
	out, _, err := command(t, "deadletters", "--json", "--region", "eu", "--mesh", mesh)
	if err != nil || !strings.Contains(out, `"turn":"web:3"`) || !strings.Contains(out, `"next":"eu~one"`) {
		t.Errorf("json: got %v\n%s", err, out)
	}
	letters = ""
	if out, _, err := command(t, "deadletters", "--mesh", mesh); err != nil || out != "no dead letters\n" {
		t.Errorf("none: got %q, %v", out, err)
	}
}

func TestSettleDeadLetters(t *testing.T) {
	var asked []string
	mesh := halfDead(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		switch {
		case strings.HasSuffix(r.URL.Path, "/web:9/retry"):
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"error":{"code":"conflict","number":20,"message":"turn web:9 is not dead, it is completed"}}`)
		case strings.HasSuffix(r.URL.Path, "/retry"):
			fmt.Fprint(w, `{"session":"eu~one","turn":"web:3","status":"waiting","known":true}`)
		default:
			fmt.Fprint(w, `{"session":"eu~one","turn":"web:3","status":"dead","known":false}`)
		}
	})
	for _, tt := range []struct{ verb, flag, want string }{
		{"retry", "--json=false", "eu~one web:3 runs again: that was ordered before, it is waiting\n"},
		{"drop", "--json=false", "eu~one web:3 is off the list\n"},
		{"drop", "--json", `{"session":"eu~one","turn":"web:3","status":"dead","known":false}` + "\n"},
	} {
		out, _, err := command(t, "deadletters", tt.verb, "eu~one", "web:3", tt.flag, "--mesh", mesh)
		if err != nil || out != tt.want {
			t.Errorf("%s %s: got %q, %v; want %q", tt.verb, tt.flag, out, err, tt.want)
		}
	}
	_, _, err := command(t, "deadletters", "retry", "eu~one", "web:9", "--mesh", mesh)
	if err == nil || err.Error() != "retry eu~one web:9: conflict: turn web:9 is not dead, it is completed" {
		t.Errorf("refused: got %v", err)
	}
	if len(asked) != 4 || asked[0] != "POST /v1/deadletters/eu~one/web:3/retry" {
		t.Errorf("asked %q", asked)
	}
}

// A node that cannot do it now is passed over; what a node refuses is not ordered elsewhere.
func TestOrderGoesOnToTheNextNode(t *testing.T) {
	o, addr := operatorFor(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"known":true}`) })
	var none struct{}
	if err := o.order(t.Context(), everyNode, "/x", &none); err != nil {
		t.Errorf("behind a dead node: %v", err)
	}
	busy, at := operatorFor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":{"code":"no_quorum","number":16,"message":"no leader"}}`)
	})
	busy.mesh.Nodes = []meshfile.Node{{ID: "busy", Admin: at}, {ID: "well", Admin: addr}}
	if err := busy.order(t.Context(), everyNode, "/x", &none); err != nil {
		t.Errorf("behind a busy node: %v", err)
	}
	busy.mesh.Nodes = busy.mesh.Nodes[:1]
	if err := busy.order(t.Context(), everyNode, "/x", &none); err == nil || err.Error() != "no node does it: no_quorum: no leader" {
		t.Errorf("only a busy node: %v", err)
	}
}

// Of several reasons the most telling is kept, whatever the order.
func TestWhy(t *testing.T) {
	told, silent, dead := error(&skein.Error{Code: skein.CodeNoQuorum}), fmt.Errorf("ask a: %w", errSilent), errors.New("refused")
	for _, tt := range []struct {
		errs []error
		want error
	}{
		{[]error{dead, silent, told}, told}, {[]error{told, silent, dead}, told}, {[]error{silent, dead}, silent},
		{[]error{dead, silent}, silent}, {[]error{dead}, dead}, {nil, nil},
	} {
		var w why
		for _, err := range tt.errs {
			w.add(err)
		}
		if w.err != tt.want {
			t.Errorf("of %v: got %v, want %v", tt.errs, w.err, tt.want)
		}
	}
}

// What a node that lives has said is told, not that the dead ones cannot be reached.
func TestReasonsOfLivingNodesAreTold(t *testing.T) {
	o, at := operatorFor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":{"code":"no_quorum","number":16,"message":"no leader"}}`)
	})
	var none struct{}
	dead := meshfile.Node{ID: "dead", Admin: "127.0.0.1:1"}
	for _, nodes := range [][]meshfile.Node{{{ID: "lives", Admin: at}, dead}, {dead, {ID: "lives", Admin: at}}} {
		o.mesh.Nodes = nodes
		if err := o.any(t.Context(), everyNode, "/x", &none); err == nil || err.Error() != "no node answers: no_quorum: no leader" {
			t.Errorf("asked %s first: got %v", nodes[0].ID, err)
		}
		if err := o.order(t.Context(), everyNode, "/x", &none); err == nil || err.Error() != "no node does it: no_quorum: no leader" {
			t.Errorf("ordered of %s first: got %v", nodes[0].ID, err)
		}
	}
}
