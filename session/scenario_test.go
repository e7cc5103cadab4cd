package session

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

var rewrite = flag.Bool("rewrite", false, "write the output into testdata")

// TestScenarios runs testdata/*.txt: a command a line, and what it did indented below it. Every scenario also checks that
// the state before a command was left alone and that its events replay to the state after it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scenarios: %v, %v", files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *rewrite {
				if err := os.WriteFile(name, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: run with -rewrite and look at the difference; got:\n%s", name, got)
			}
		})
	}
}

type player struct {
	t   *testing.T
	st  *State
	now Committed
	cal Calendar
	out bytes.Buffer
}

func play(t *testing.T, script string) []byte {
	p := &player{t: t}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue // output of an earlier run
		}
		fmt.Fprintln(&p.out, line)
		if line != "" && line[0] != '#' {
			p.line(fields(t, line))
		}
	}
	return p.out.Bytes()
}

// fields splits a line at spaces outside double quotes: the words, and the name=value pairs.
func fields(t *testing.T, line string) (words []string, opts map[string]string) {
	t.Helper()
	opts = map[string]string{}
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		end, quoted := 0, false
		for end < len(line) && (quoted || line[end] != ' ') {
			if line[end] == '"' {
				quoted = !quoted
			}
			end++
		}
		key, value, named := strings.Cut(line[:end], "=")
		if strings.HasPrefix(key, `"`) || !named {
			words = append(words, strings.Trim(line[:end], `"`))
		} else {
			opts[key] = strings.Trim(value, `"`)
		}
		line = line[end:]
	}
	return words, opts
}

func (p *player) line(words []string, opts map[string]string) {
	switch words[0] {
	case "tick":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.now += Committed(d)
	case "days": // of the calendar
		p.cal += Calendar(p.number(words[1]) * 24 * 3600 * 1000)
	case "state":
		p.state()
	case "clients": // clients PREFIX FROM TO: each sends one turn, answered at once
		from, to := p.number(words[2]), p.number(words[3])
		for i := from; i <= to; i++ {
			id := skein.TurnID{Client: skein.ClientID(fmt.Sprintf("%s%04d", words[1], i)), Counter: 1}
			p.apply(Accept{Turn: id, Subject: "ann", Text: "hi", Reply: &Reply{Text: "hello"}}, p.st.Seq, true)
		}
	default:
		body, expect := p.body(words, opts)
		p.apply(body, expect, false)
	}
}

func (p *player) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *player) run(words []string) Run {
	id, err := skein.ParseTurnID(words[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return Run{Turn: id, Attempt: skein.Attempt(p.number(words[2]))}
}

func (p *player) body(words []string, opts map[string]string) (Body, skein.Seq) {
	runner := skein.Runner{Node: skein.NodeID(opts["runner"]), Incarnation: 1}
	call := Call{ID: opts["call"], Tool: opts["tool"], Key: opts["key"], Args: opts["args"], Result: opts["result"], Error: opts["error"]}
	switch words[0] {
	case "open":
		return Open{Subject: skein.Subject(opts["subject"]), Assistant: opts["assistant"], Home: "eu"}, 0
	case "accept":
		id, _ := skein.ParseTurnID(words[1]) // a bad one is for Apply to refuse
		a := Accept{Turn: id, Subject: "ann", Text: words[2], Runner: runner}
		if s, ok := opts["subject"]; ok {
			a.Subject = skein.Subject(s)
		}
		if text, ok := opts["reply"]; ok {
			a.Reply = &Reply{Text: text, Memory: []byte(opts["memory"]), Source: opts["source"]}
		}
		if e, ok := opts["expect"]; ok {
			return a, skein.Seq(p.number(e))
		}
		return a, 0
	case "start":
		r := p.run(words)
		return Start{Turn: r.Turn, Attempt: r.Attempt, Runner: runner}, 0
	case "progress":
		return Progress{Run: p.run(words), Offset: p.number(words[3]), Text: words[4], Mode: opts["mode"]}, 0
	case "intend":
		return Intend{Run: p.run(words), Call: call}, 0
	case "outcome":
		return Outcome{Run: p.run(words), Call: call}, 0
	case "complete":
		return Complete{Run: p.run(words), Reply: Reply{Text: words[3], Memory: []byte(opts["memory"]), Source: opts["source"]}}, 0
	case "fail":
		return Fail{Run: p.run(words), Reason: words[3], Final: opts["final"] != ""}, 0
	case "renew":
		return Renew{Run: p.run(words)}, 0
	case "retry":
		return Retry{Run: p.run(words)}, 0
	case "drop":
		return Drop{Run: p.run(words)}, 0
	}
	return p.ending(words, opts)
}

// ending reads a command about the session as a whole.
func (p *player) ending(words []string, opts map[string]string) (Body, skein.Seq) {
	expect := skein.Seq(0)
	if e, ok := opts["expect"]; ok {
		expect = skein.Seq(p.number(e))
	}
	switch words[0] {
	case "close":
		return Close{Subject: skein.Subject(opts["subject"]), Reason: opts["reason"]}, expect
	case "archive":
		return Archive{}, expect
	case "purge":
		return Purge{MinAge: time.Duration(p.number(words[1])) * 24 * time.Hour, Archived: opts["archived"] != ""}, expect
	case "erase":
		return Erase{}, expect
	}
	p.t.Fatalf("unknown command %q", words[0])
	return nil, 0
}

func (p *player) apply(body Body, expect skein.Seq, quiet bool) {
	cmd := Command{Session: "eu~s", Expect: expect, At: time.UnixMilli(0).UTC(), Body: body}
	if quiet { // a thousand of the same: seen once is enough
		_, res := Apply(p.st, cmd, Now{Clock: p.now, Calendar: p.cal})
		if res.Err != nil {
			p.t.Fatal(res.Err)
		}
		p.st = res.State
		return
	}
	before := show(p.st)
	events, res := Apply(p.st, cmd, Now{Clock: p.now, Calendar: p.cal})
	if after := show(p.st); after != before {
		p.t.Fatalf("%T changed the state that it was given:\n%s\n%s", body, before, after)
	}
	if len(events) > 0 {
		if got, want := show(Replay(p.st, events)), show(res.State); got != want {
			p.t.Fatalf("%T replays to\n%s\nnot to\n%s", body, got, want)
		}
	}
	p.st = res.State
	if res.Err != nil {
		fmt.Fprintf(&p.out, "\trefused: %v\n", res.Err)
	}
	if res.Duplicate {
		fmt.Fprintln(&p.out, "\tknown")
	}
	for i := range events {
		p.event(&events[i])
	}
}

func (p *player) event(e *Event) {
	fmt.Fprintf(&p.out, "\t%d %s", e.Seq, e.Kind)
	if e.Kind == Opened {
		fmt.Fprintf(&p.out, " subject=%s assistant=%s home=%s", e.Subject, e.Assistant, e.Home)
	} else if e.Turn != (skein.TurnID{}) {
		fmt.Fprintf(&p.out, " %s attempt=%d", e.Turn, e.Attempt)
	}
	if e.Runner.Node != "" {
		fmt.Fprintf(&p.out, " runner=%s", e.Runner)
	}
	if e.Kind == Progressed {
		fmt.Fprintf(&p.out, " at=%d", e.Offset)
	}
	if e.Text != "" {
		fmt.Fprintf(&p.out, " %q", e.Text)
	}
	if e.Call.ID != "" {
		fmt.Fprintf(&p.out, " call=%s tool=%s key=%s args=%s result=%s error=%s", e.Call.ID, e.Call.Tool, e.Call.Key, e.Call.Args, e.Call.Result, e.Call.Error)
	}
	for _, s := range []string{e.Mode, string(e.Memory), e.Source} {
		if s != "" {
			fmt.Fprintf(&p.out, " %s", s)
		}
	}
	fmt.Fprintln(&p.out)
}

func (p *player) state() {
	if p.st == nil {
		fmt.Fprintln(&p.out, "\tno session")
		return
	}
	fmt.Fprintf(&p.out, "\tseq=%d completed=%d marks=%d memory=%s\n", p.st.Seq, p.st.Count, len(p.st.Marks), p.st.Memory)
	if p.st.Phase != PhaseOpen {
		fmt.Fprintf(&p.out, "\t%s last=%s subject=%q archived=%t\n", p.st.Phase, p.st.Last.Time().Format(time.DateOnly), p.st.Subject, p.st.Archived)
	}
	for i := range p.st.Turns {
		t := p.st.Turns[i]
		fmt.Fprintf(&p.out, "\t%s %s attempt=%d failures=%d runner=%s reply=%q", t.ID, t.Status, t.Attempt, t.Failures, t.Runner, t.Reply)
		if t.Status == Running {
			fmt.Fprintf(&p.out, " lease=%s", time.Duration(t.LeaseUntil))
		}
		if t.Status == Waiting {
			fmt.Fprintf(&p.out, " not-before=%s", time.Duration(t.NotBefore))
		}
		if t.Reason != "" {
			fmt.Fprintf(&p.out, " reason=%q", t.Reason)
		}
		for _, c := range t.Calls {
			fmt.Fprintf(&p.out, " call=%s done=%t result=%s error=%s", c.ID, c.Done, c.Result, c.Error)
		}
		for _, c := range t.Continuations {
			fmt.Fprintf(&p.out, " went-on=%d@%d,%s", c.Attempt, c.Offset, c.Mode)
		}
		if t.Retried > 0 {
			fmt.Fprintf(&p.out, " retried=%d", t.Retried)
		}
		if t.Dropped {
			fmt.Fprint(&p.out, " dropped")
		}
		if t.Lapsed(p.now) {
			fmt.Fprint(&p.out, " lapsed")
		}
		fmt.Fprintln(&p.out)
	}
}
