package tagger

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/assistant/text"
)

// marked reads "book a table in [paris](city)".
func marked(intent, s string) Example {
	e := Example{Intent: intent}
	for len(s) > 0 {
		open := strings.IndexByte(s, '[')
		if open < 0 {
			open = len(s)
		}
		e.Tokens = append(e.Tokens, text.Read(s[:open], 0).Tokens...)
		if s = s[open:]; s == "" {
			break
		}
		word, rest, _ := strings.Cut(s[1:], "](")
		label, after, _ := strings.Cut(rest, ")")
		from := len(e.Tokens)
		e.Tokens = append(e.Tokens, text.Read(word, 0).Tokens...)
		e.Spans = append(e.Spans, Span{from, len(e.Tokens), label})
		s = after
	}
	return e
}

func examples() []Example {
	var out []Example
	patterns := []string{"book a table in [%s](city) for [%d](people)", "book a table in [%s](city) for [%d](people) please", "[%s](city) is where we are [%d](people) people"}
	for i, city := range []string{"paris", "new york", "rome", "san remo", "oslo", "cape town", "lima", "delhi", "kyoto", "porto", "bern", "graz"} {
		out = append(out, marked("book", fmt.Sprintf(patterns[i%3], city, i+2)))
	}
	patterns = []string{"[%s](city)明天天气怎么样", "查一下[%s](city)[后天](day)的天气", "[%s](city)[今天](day)下雨吗"}
	for i, city := range []string{"北京", "上海", "广州", "深圳", "南宁", "杭州", "成都", "西安", "大连"} {
		out = append(out, marked("weather", fmt.Sprintf(patterns[i%3], city)))
	}
	return append(out, marked("book", "i want to book a table"), marked("weather", "天气怎么样"))
}

func trained(t testing.TB) *Tagger {
	t.Helper()
	tagger, err := Train(examples())
	if err != nil {
		t.Fatal(err)
	}
	return tagger
}

func show(ts []text.Token, spans []Span) string {
	var out []string
	for _, s := range spans {
		out = append(out, joined(ts[s.From:s.To])+"="+s.Label)
	}
	return strings.Join(out, ", ")
}

func TestTag(t *testing.T) {
	tagger := trained(t)
	for _, c := range []struct{ intent, message, want string }{
		{"book", "book a table in rome for 4", "rome=city, 4=people"},
		{"book", "book a table in utrecht for 9", "utrecht=city, 9=people"},
		{"book", "i want to book a table", ""},
		{"weather", "北京明天天气怎么样", "北 京=city"},
		{"weather", "查一下武汉后天的天气", "武 汉=city, 后 天=day"},
		{"weather", "", ""},
		{"", "book a table in oslo for 4", ""},
		{"another", "book a table in oslo for 4", ""},
	} {
		ts := text.Read(c.message, 0).Tokens
		if got := show(ts, tagger.Tag(ts, c.intent)); got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.intent, c.message, got, c.want)
		}
	}
}

// TestIntentsLabels shows that a message has only labels that its intent has.
func TestIntentsLabels(t *testing.T) {
	tagger := trained(t)
	ts := text.Read("a table for 7 in 后天", 0).Tokens
	for _, s := range tagger.Tag(ts, "weather") {
		if s.Label == "people" {
			t.Errorf("got %v for an intent that has no people", s)
		}
	}
}

func TestRefused(t *testing.T) {
	ts := text.Read("a b c", 0).Tokens
	many := Example{Tokens: text.Read(strings.Repeat("a ", MaxLabels+1), 0).Tokens}
	for i := range many.Tokens {
		many.Spans = append(many.Spans, Span{i, i + 1, fmt.Sprint(i)})
	}
	for name, e := range map[string][]Example{
		"outside":  {{Tokens: ts, Spans: []Span{{2, 4, "x"}}}},
		"empty":    {{Tokens: ts, Spans: []Span{{1, 1, "x"}}}},
		"overlap":  {{Tokens: ts, Spans: []Span{{0, 2, "x"}, {1, 3, "y"}}}},
		"labels":   {many},
		"examples": make([]Example, MaxExamples+1),
	} {
		if _, err := Train(e); err == nil || !strings.HasPrefix(err.Error(), "train tagger: ") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if tagger, err := Train(nil); err != nil || tagger.Tag(ts, "") != nil {
		t.Errorf("without examples: error %v", err)
	}
}

func TestSame(t *testing.T) {
	a, b := trained(t), trained(t)
	if !slices.Equal(a.model.weights, b.model.weights) || !slices.Equal(a.model.steps, b.model.steps) {
		t.Error("the same examples give other weights")
	}
}

// TestChain compares the passes with all ways through a small lattice.
func TestChain(t *testing.T) {
	a := newAllowed([]bool{true, true})
	m := &field{scale: 1, width: 5, steps: make([]float64, 25)}
	for i := range m.steps {
		m.steps[i] = math.Sin(float64(3 * i))
	}
	c := chain{allowed: a, n: 4}
	for i := range c.n * len(a.labels) {
		c.emit = append(c.emit, math.Cos(float64(7*i)))
	}
	c.sum(m)
	var total, most float64
	var best []uint8
	each := make([]float64, len(c.emit))
	var walk func(path []uint8, score float64)
	walk = func(path []uint8, score float64) {
		i := len(path)
		if i == c.n {
			e := math.Exp(score)
			total += e
			if e > most {
				most, best = e, slices.Clone(path)
			}
			for k, l := range path {
				each[k*len(a.labels)+slices.Index(a.labels, l)] += e
			}
			return
		}
		for j, l := range a.labels {
			prev := uint8(outside)
			if i > 0 {
				prev = path[i-1]
			}
			if !follows(prev, l) {
				continue
			}
			s := score + c.emit[i*len(a.labels)+j]
			if i > 0 {
				s += m.step(prev, l)
			}
			walk(append(path, l), s)
		}
	}
	walk(nil, 0)
	if got := math.Exp(c.logZ); math.Abs(got-total) > 1e-9*total {
		t.Errorf("sum over all ways: got %g, want %g", got, total)
	}
	for i, want := range each {
		if got := math.Exp(c.alpha[i] + c.beta[i] - c.logZ); math.Abs(got-want/total) > 1e-9 {
			t.Errorf("place %d: got %g, want %g", i, got, want/total)
		}
	}
	if got := c.best(m); !slices.Equal(got, best) {
		t.Errorf("best way: got %v, want %v", got, best)
	}
}

func FuzzTag(f *testing.F) {
	tagger := trained(f)
	f.Add("book a table in rome for 4", "book")
	f.Add("查一下武汉后天的天气\xff\u200b", "weather")
	f.Add(strings.Repeat("a ", 1000), "")
	f.Fuzz(func(t *testing.T, s, intent string) {
		ts := text.Read(s, 0).Tokens
		end := 0
		for _, span := range tagger.Tag(ts, intent) {
			if span.From < end || span.To <= span.From || span.To > len(ts) {
				t.Fatalf("%q: %+v", s, span)
			}
			end = span.To
		}
	})
}

func BenchmarkTag(b *testing.B) {
	tagger := trained(b)
	ts := text.Read("we would like to book a table in new york for 12 people", 0).Tokens
	b.ReportAllocs()
	for b.Loop() {
		tagger.Tag(ts, "book")
	}
}
