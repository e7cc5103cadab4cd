package cli

import (
	"net/http"
	"strings"
	"testing"
)

// TestHistoryCommand asks page by page, and says what it could not ask.
func TestHistoryCommand(t *testing.T) {
	var asked []string
	mesh := halfDead(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		switch {
		case strings.HasSuffix(r.URL.Path, "/erase"):
			w.Write([]byte(`{"subject":"ann","sessions":3,"session":"eu~a","phase":"erased"}`))
		case strings.HasSuffix(r.URL.Path, "/close"):
			w.Write([]byte(`{"session":"eu~a","phase":"closed","known":true}`))
		case r.URL.Query().Get("after") == "":
			w.Write([]byte(`{"said":[{"session":"eu~a","seq":2,"kind":"accepted","at":"2026-03-01T12:00:00Z","turn":"web:1","text":"hello\u001b[31m"}],"next":"p2"}`))
		default:
			w.Write([]byte(`{"said":[{"session":"eu~a","seq":3,"kind":"completed","at":"2026-03-01T12:00:01Z","turn":"web:1","text":"hi"}]}`))
		}
	})
	tests := []struct {
		args []string
		want string // part of what is printed, or of the error
		ask  string // the last question
		bad  bool
	}{
		{[]string{"history", "--subject", "ann", "--from", "2026-03-01T00:00:00Z"}, "eu~a     3    completed  web:1  hi",
			"GET /v1/history?after=p2&from=2026-03-01T00%3A00%3A00Z&limit=500&subject=ann", false},
		{[]string{"history", "--subject", "ann", "--limit", "1", "--region", "eu", "--json"}, `"next":"p2"`, "GET /v1/history?limit=1&subject=ann", false},
		{[]string{"history"}, "--subject SUBJECT is needed", "", true},
		{[]string{"history", "--subject", "ann", "--from", "monday"}, `--from "monday": want a time`, "", true},
		{[]string{"history", "--subject", "ann", "--after", "p2"}, "--after needs --region", "", true},
		{[]string{"sessions", "close", "eu~a", "--expect", "3"}, "eu~a is closed, as it was before", "POST /v1/sessions/eu~a/close?expect=3", false},
		{[]string{"sessions", "close", "a"}, "want REGION~NAME", "", true},
		{[]string{"sessions", "erase", "eu~a"}, "add --yes", "", true},
		{[]string{"sessions", "erase", "--yes"}, "name a SESSION, or --subject SUBJECT", "", true},
		{[]string{"sessions", "erase", "eu~a", "--yes"}, "eu~a is erased", "POST /v1/sessions/eu~a/erase", false},
		{[]string{"sessions", "erase", "--subject", "ann", "--yes"}, "not in all regions, give the order again", "POST /v1/subjects/ann/erase", true},
	}
	for _, tt := range tests {
		asked = nil
		out, _, err := command(t, append(tt.args, "--mesh", mesh)...)
		if err != nil {
			out += err.Error()
		}
		last := ""
		if len(asked) > 0 {
			last = asked[len(asked)-1]
		}
		if (err != nil) != tt.bad || !strings.Contains(out, tt.want) || last != tt.ask {
			t.Errorf("%v: got %q, asked %q; want %q, %q", tt.args, out, last, tt.want, tt.ask)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%v: a control character on the terminal: %q", tt.args, out)
		}
	}
}
