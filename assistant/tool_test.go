package assistant

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/session"
)

// confirmThenCall goes through each kind of call.
const confirmThenCall = `
assistant: {id: x, languages: [en]}
intents: {pay: {en: [pay now]}, look: {en: [look it up]}, wait: {en: [wait for it]}}
slots: {n: {type: number}}
tools:
  pay:
    side_effect: true
    http: {method: POST, url: "${BASE}/pay", headers: {Authorization: "Bearer ${KEY}"}, json: {n: "{{ slots.n }}", who: "{{ session.id }}"}}
    returns: {id: "$.deep.id"}
    mock: {deep: {id: mocked}}
  look: {http: {url: "${BASE}/look?q={{ intent }}", timeout: 1s, retries: 1}, returns: {n: "$.n"}, mock: {n: 7}}
  wait: {mock: {delay: 2s, n: 8}}
flows:
  pay:
    start: {intent: pay}
    steps: [{set: {n: 5}}, {confirm: "Pay {{ slots.n }}?"}, {call: pay, id: p}, {say: "paid {{ result.id }}"}]
  look: {start: {intent: look}, steps: [{call: look, on_error: {say: no luck, goto: end}}, {say: "found {{ slots.n | default('nothing') }}"}]}
  wait: {start: {intent: wait}, steps: [{call: wait}, {say: "waited {{ result.n }}"}]}
`

func withServer(t *testing.T, h http.HandlerFunc) *Assistant {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	env := map[string]string{"BASE": srv.URL, "KEY": "secret"}
	return mustParse(t, confirmThenCall).With(Deps{HTTP: srv.Client(), Env: func(n string) string { return env[n] }})
}

func TestSideEffectOnlyBehindConfirm(t *testing.T) {
	var got struct {
		key, auth string
		body      string
	}
	a := withServer(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.key, got.auth, got.body = r.Header.Get("Idempotency-Key"), r.Header.Get("Authorization"), string(b)
		io.WriteString(w, `{"deep":{"id":42}}`)
	})
	k := newTalk(t, a)
	k.say("pay now")
	k.say("what?")
	k.say("maybe later but yes")
	if len(k.host.calls) != 0 {
		t.Fatalf("called without a yes: %v", k.host.calls)
	}
	if reply := k.say("yes please").Text; reply != "paid 42" {
		t.Errorf("got %q, want %q", reply, "paid 42")
	}
	if len(k.host.calls) != 1 {
		t.Fatalf("got %d calls, want 1", len(k.host.calls))
	}
	c := k.host.calls[0]
	if want := "eu~talk/c:4/pay.p"; c.Key != want || got.key != want {
		t.Errorf("got keys %q and %q, want %q", c.Key, got.key, want)
	}
	if want := `{"n":5,"who":"eu~talk"}`; got.body != want || got.auth != "Bearer secret" {
		t.Errorf("got %s %q, want %s and the key", got.body, got.auth, want)
	}
	if strings.Contains(c.Args, "secret") || strings.Contains(c.Args, "127.0.0.1") || !json.Valid([]byte(c.Args)) {
		t.Errorf("the log would hold %s", c.Args)
	}
}

func TestSideEffectIsNotRepeated(t *testing.T) {
	a := mustParse(t, confirmThenCall)
	k := newTalk(t, a)
	k.say("pay now")
	memory := k.in.Memory
	tests := []struct {
		name  string
		calls []session.Call
		done  map[string]session.Call
		want  string
		runs  int
	}{
		{"first", nil, nil, "paid mocked", 1},
		{"outcome known", nil, map[string]session.Call{"pay.p": {ID: "pay.p", Done: true, Result: `{"id":"stored"}`}}, "paid stored", 0},
		{"outcome unknown", []session.Call{{ID: "pay.p", Tool: "pay"}}, nil, "I can't tell whether this went through. It is not repeated before somebody has checked.", 0},
		{"failed before", nil, map[string]session.Call{"pay.p": {ID: "pay.p", Done: true, Error: "no"}}, "That did not work just now. Please try again later.", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newTalk(t, a)
			k.in.Memory, k.in.Calls, k.host.done = memory, tt.calls, tt.done
			if got := k.say("yes").Text; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(k.host.calls) != tt.runs {
				t.Errorf("got %d runs, want %d", len(k.host.calls), tt.runs)
			}
		})
	}
}

func TestHTTPTool(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
		tries  int
	}{
		{"found", 200, `{"n": 3}`, "found 3", 1},
		{"not found", 404, `gone`, "found nothing", 1},
		{"empty", 204, ``, "found nothing", 1},
		{"server fault", 503, `{}`, "no luck", 2},
		{"refused", 403, `{}`, "no luck", 1},
		{"redirect", 302, `{}`, "no luck", 1},
		{"not JSON", 200, `<html>`, "no luck", 1},
		{"wrong kind", 200, `{"n": {"x": "y"}}`, "found nothing", 1},
		{"huge", 200, `"` + strings.Repeat("x", maxBody) + `"`, "no luck", 1},
		{"deep", 200, strings.Repeat("[", 99) + strings.Repeat("]", 99), "no luck", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			a := withServer(t, func(w http.ResponseWriter, r *http.Request) {
				if tries++; r.URL.Query().Get("q") != "look" {
					t.Errorf("got query %q", r.URL.RawQuery)
				}
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			k := newTalk(t, a)
			if got := k.say("look it up").Text; got != tt.want || tries != tt.tries {
				t.Errorf("got %q in %d tries, want %q in %d", got, tries, tt.want, tt.tries)
			}
			if c := k.host.calls[0]; c.Key != "" {
				t.Errorf("a tool that reads has the key %q", c.Key)
			}
		})
	}
}

func TestMockStandsIn(t *testing.T) {
	k := newTalk(t, mustParse(t, confirmThenCall).With(Deps{HTTP: http.DefaultClient}))
	if got := k.say("look it up").Text; got != "found 7" || len(k.host.calls) != 0 {
		t.Errorf("got %q and %d calls, want the mock without the host", got, len(k.host.calls))
	}
}

func TestSlowMockGoesThroughHost(t *testing.T) {
	a := mustParse(t, confirmThenCall)
	synctest.Test(t, func(t *testing.T) {
		k, begin := newTalk(t, a), time.Now()
		if got := k.say("wait for it").Text; got != "waited 8" || len(k.host.calls) != 1 || time.Since(begin) != 2*time.Second {
			t.Errorf("got %q, %d calls after %s", got, len(k.host.calls), time.Since(begin))
		}
	})
}

func TestHostFaultIsTriedAgain(t *testing.T) {
	k := newTalk(t, mustParse(t, confirmThenCall))
	k.say("pay now")
	k.host.deny = errHost
	if _, err := k.try("yes"); !errors.Is(err, errHost) || errors.Is(err, ErrFinal) {
		t.Errorf("got %v, want the host's error", err)
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{"a b": "a%20b", "../x": "..%2Fx", "a&b=c": "a%26b%3Dc", "鞋": "%E9%9E%8B", "": ""} {
		if got := escape(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestURLStaysInItsTemplate(t *testing.T) {
	const src = `
assistant: {id: x, languages: [en]}
intents: {look: {en: ["look up"]}}
slots: {n: {from: {text: whole_message}, only_when: asked}}
tools: {look: {http: {url: "${BASE}/item/{{ slots.n }}/part?q={{ slots.n }}"}}}
flows:
  look:
    start: {intent: look}
    steps: [{collect: n, ask: what?}, {call: look, on_error: {say: no luck, goto: end}}, {say: found}]
`
	tests := []struct{ say, path string }{ // no path: refused before anything is sent
		{"SO1", "/item/SO1/part?q=SO1"},
		{"1..2", "/item/1..2/part?q=1..2"},
		{"a?b#c", "/item/a%3Fb%23c/part?q=a%3Fb%23c"},
		{"%2e%2e", "/item/%252e%252e/part?q=%252e%252e"},
		{"a@b:c;d", "/item/a%40b%3Ac%3Bd/part?q=a%40b%3Ac%3Bd"},
		{"..", ""}, {".", ""}, {"...", ""}, {"../x", ""}, {`..\x`, ""}, {"x/..", ""},
	}
	for _, tt := range tests {
		t.Run(tt.say, func(t *testing.T) {
			got := ""
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI }))
			defer srv.Close()
			a := mustParse(t, src).With(Deps{HTTP: srv.Client(), Env: func(string) string { return srv.URL }})
			k := newTalk(t, a)
			k.say("look up")
			want := "found"
			if tt.path == "" {
				want = "no luck"
			}
			if reply := k.say(tt.say).Text; reply != want || got != tt.path {
				t.Errorf("got %q with the request %q, want %q with %q", reply, got, want, tt.path)
			}
			if tt.path == "" && len(k.host.calls) > 0 {
				t.Errorf("the log would hold %v", k.host.calls)
			}
		})
	}
}

// repeated is a call whose key and body an earlier attempt may have made otherwise.
const repeated = `
assistant: {id: x, languages: [en]}
intents: {pay: {en: [pay now]}}
slots: {n: {type: number}}
tools:
  pay:
    side_effect: true
    idempotent: true
    http: {method: POST, url: "${BASE}/pay/{{ now | date('iso') }}", json: {at: "{{ now }}"JSON}, idempotency_key: "{{ lang }}-pay"}
    returns: {id: "$.id"}
flows:
  pay: {start: {intent: pay}, steps: [{confirm: Pay?}, {call: pay, id: p}, {say: "paid {{ result.id }}"}]}
`

func TestRepeatSendsWhatWasCommitted(t *testing.T) {
	const args = `{"json":{"at":"2026-02-28T23:59:59Z"},"method":"POST","url":"${BASE}/pay/2026-02-28"}`
	const unknown = "I can't tell whether this went through. It is not repeated before somebody has checked."
	tests := []struct {
		name, more string // more of the body's template
		begun      session.Call
		reply      string
		path, body string
	}{
		{"other arguments by now", "", session.Call{ID: "pay.p", Tool: "pay", Key: "zh-pay", Args: args}, "paid 42", "/pay/2026-02-28", `{"at":"2026-02-28T23:59:59Z"}`},
		{"values that the log has not", `, key: "${KEY}"`, session.Call{ID: "pay.p", Tool: "pay", Key: "zh-pay", Args: args}, unknown, "", ""},
		{"no key", "", session.Call{ID: "pay.p", Tool: "pay", Args: args}, unknown, "", ""},
		{"another tool", "", session.Call{ID: "pay.p", Tool: "refund", Key: "zh-pay", Args: args}, unknown, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var key, path, body string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				key, path, body = r.Header.Get("Idempotency-Key"), r.URL.Path, string(b)
				io.WriteString(w, `{"id":42}`)
			}))
			defer srv.Close()
			env := map[string]string{"BASE": srv.URL, "KEY": "secret"}
			a := mustParse(t, strings.Replace(repeated, "JSON", tt.more, 1)).
				With(Deps{HTTP: srv.Client(), Env: func(n string) string { return env[n] }})
			k := newTalk(t, a)
			k.say("pay now")
			k.in.Calls, k.in.Attempt = []session.Call{tt.begun}, 2
			if reply := k.say("yes").Text; reply != tt.reply || path != tt.path || body != tt.body {
				t.Fatalf("got %q, sent %s to %q, want %q, %s, %q", reply, body, path, tt.reply, tt.body, tt.path)
			}
			if path == "" {
				return
			}
			if key != tt.begun.Key || len(k.host.calls) != 1 || k.host.calls[0] != tt.begun {
				t.Errorf("got the key %q and the calls %v, want those of %v", key, k.host.calls, tt.begun)
			}
		})
	}
}
