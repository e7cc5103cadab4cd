package assistant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// dialogue is one conversation of the section tests.
type dialogue struct {
	name  string
	line  int
	lang  string
	turns []exchange
}

// exchange is what the user says and what must come of it.
type exchange struct {
	user   string
	line   int
	expect []expectation
}

// expectation compares one trait of an answer.
type expectation struct {
	what string
	want string
	none bool // want: nothing
	slot string
	line int
}

// Failure is an expectation of the section tests that was not met.
type Failure struct {
	Test string // name of the conversation
	Line int    // of the expectation, in the definition
	User string // what was said
	What string // "intent", "flow", "slots.NAME", "says", "asks", "source", "called", "not_called" or "error"
	Want string
	Got  string
}

// String gives one line.
func (f Failure) String() string {
	return fmt.Sprintf("line %d: %s: %q: %s: got %q, want %q", f.Line, f.Test, f.User, f.What, f.Got, f.Want)
}

func (d *decoder) tests(n ast.Node, def *definition) {
	for i, item := range d.items(n, "tests") {
		if i >= maxTests {
			d.fault(item, "more than %d tests", maxTests)
			return
		}
		test := dialogue{line: lineOf(item)}
		d.object(item, "test", append([]field{
			{"name", func(n ast.Node) { test.name = d.text(n, "test: name") }},
			{"lang", func(n ast.Node) { test.lang = d.choice(n, "test: lang", def.languages...) }},
			{"tools", func(n ast.Node) { d.choice(n, "test: tools", "mock") }},
			{"turns", func(n ast.Node) {
				for _, t := range d.items(n, "test: turns") {
					test.turns = append(test.turns, d.exchange(t, def))
				}
			}},
		}, later("nlu_file", "min_accuracy", "max_false_accept")...)...)
		def.tests = append(def.tests, test)
	}
}

func (d *decoder) exchange(n ast.Node, def *definition) exchange {
	x := exchange{line: lineOf(n)}
	d.object(n, "test: turn",
		field{"user", func(n ast.Node) { x.user = d.text(n, "test: user") }},
		field{"expect", func(n ast.Node) {
			fields := later("blocked", "buttons", "handoff")
			for _, what := range []string{"intent", "flow", "asks", "source", "called", "not_called", "says"} {
				fields = append(fields, field{what, func(n ast.Node) { x.expect = append(x.expect, d.wants(n, what)...) }})
			}
			fields = append(fields, field{"slots", func(n ast.Node) {
				for _, e := range d.entries(n, "expect: slots") {
					if def.slots[e.key] == nil {
						d.fault(e.at, "expect: %s", def.unknownSlot(e.key))
					}
					for _, w := range d.wants(e.val, "slots."+e.key) {
						w.slot = e.key
						x.expect = append(x.expect, w)
					}
				}
			}})
			d.object(n, "expect", fields...)
		}})
	return x
}

func (d *decoder) wants(n ast.Node, what string) []expectation {
	if _, ok := n.(*ast.NullNode); ok {
		return []expectation{{what: what, none: true, line: lineOf(n)}}
	}
	var out []expectation
	for _, s := range d.list(n, "expect: "+what) {
		out = append(out, expectation{what: what, want: s, line: lineOf(n)})
	}
	return out
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// Test runs the conversations of the section tests with the tools' mocks, without a model and without waiting.
// It stops when ctx ends.
func (a *Assistant) Test(ctx context.Context) []Failure {
	b := a.With(Deps{})
	b.offline = true
	var failures []Failure
	for i, test := range a.def.tests {
		in := Input{Session: skein.SessionID(fmt.Sprintf("test~%d", i)), Now: time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)}
		if test.lang != "" {
			in.Memory = fmt.Appendf(nil, `{"v":%d,"def":%d,"lang":%q}`, memoryFormat, a.def.version, test.lang)
		}
		for j, x := range test.turns {
			in.Turn, in.Text, in.Attempt = skein.TurnID{Client: "test", Counter: uint64(j + 1)}, x.user, 1
			t, err := b.answer(ctx, in, alone{})
			if err == nil {
				failures = append(failures, t.compare(test.name, x)...)
				in.History = append(in.History, session.Turn{Text: x.user, Reply: t.text})
				in.Memory = b.encode(t.mem)
			}
			if err != nil {
				failures = append(failures, Failure{Test: test.name, Line: x.line, User: x.user, What: "error", Got: err.Error()})
				break
			}
		}
	}
	return failures
}

// alone is a host that keeps nothing.
type alone struct{}

func (alone) Piece(context.Context, string, string) error { return nil }

func (alone) Call(ctx context.Context, c session.Call, do func(context.Context) (string, error)) (session.Call, error) {
	result, err := do(ctx)
	if c.Done, c.Result = true, result; err != nil {
		c.Error = err.Error()
	}
	return c, nil
}

func (t *turn) compare(name string, x exchange) []Failure {
	var out []Failure
	for _, e := range x.expect {
		got, ok := t.meets(e)
		if !ok {
			want := e.want
			if e.none {
				want = "nothing"
			}
			out = append(out, Failure{Test: name, Line: e.line, User: x.user, What: e.what, Want: want, Got: got})
		}
	}
	return out
}

func (t *turn) meets(e expectation) (got string, ok bool) {
	switch e.what {
	case "intent":
		got = t.intent
	case "flow":
		if f := t.mem.top(); f != nil {
			got = f.Flow
		}
	case "asks":
		if got = t.asks; got == confirmAsked {
			got = "confirm"
		}
	case "says":
		got = t.text
	case "called", "not_called":
		found := slices.Contains(t.called, e.want)
		return strings.Join(t.called, ", "), found == (e.what == "called")
	case "source":
		got = t.source
		if kind, _, found := strings.Cut(got, ":"); found && kind == e.want {
			return got, true
		}
	default:
		got = t.mem.Slots[e.slot].String()
	}
	if e.none {
		return got, got == ""
	}
	return got, glob(e.want, got)
}

// glob matches a pattern in which '*' stands for any text, also over lines.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(s, parts[0])
	if len(parts) == 1 {
		return ok && rest == ""
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if !ok || i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return ok && strings.HasSuffix(rest, parts[len(parts)-1])
}
