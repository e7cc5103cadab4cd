package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, in, plain string
	}{
		{"tidy", "Where is SO10023?", "Where is SO10023?"},
		{"spaces", "  a \t\n b  ", "a b"},
		{"wide", "Ｒｕｎｎｅｒ　Ｘ，４２码", "Runner X,42码"},
		{"ligature", "ﬁnd ①", "find 1"},
		{"composed", "cafe\u0301", "café"},
		{"zero width", "ig\u200bno\u200dre\ufeff", "ignore"},
		{"directions", "\u202eabc\u202c \u2066d\u2069", "abc d"},
		{"tags", "a\U000e0041b", "ab"},
		{"selectors and fillers", "a\ufe0fb\u3164c\u115f", "abc"},
		{"control", "a\x00b\x1bc\x7f", "abc"},
		{"soft hyphen", "re\u00adfund", "refund"},
		{"broken", "a\xffb\xc3", "ab"},
		{"quotes", "don’t “go” –", "don't \"go\" -"},
		{"private use", "a\ue000b", "ab"},
		{"nothing", "\u200b \x00", ""},
		{"empty", "", ""},
	} {
		m := Read(c.in, 0)
		if m.Plain != c.plain {
			t.Errorf("%s: got %q, want %q", c.name, m.Plain, c.plain)
		}
		if again := Read(m.Plain, 0); again.Plain != m.Plain {
			t.Errorf("%s: read again: got %q, want %q", c.name, again.Plain, m.Plain)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abcdef", 3, "abc"}, {"ab cd", 3, "ab"}, {"退货退货", 3, "退货退"}, {"a\u200bbcd", 3, "abc"}, {"abc", 3, "abc"},
	} {
		if got := Read(c.in, c.limit).Plain; got != c.want {
			t.Errorf("%q to %d runes: got %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	if got := utf8.RuneCountInString(Read(strings.Repeat("退", 1<<20), 0).Plain); got != MaxRunes {
		t.Errorf("%d runes are kept, want %d", got, MaxRunes)
	}
}

func TestSpan(t *testing.T) {
	for _, c := range []struct{ in, part, want string }{
		{"my SO10023 please", "SO10023", "SO10023"},
		{"  my  S\u200bO10023 please", "SO10023", "S\u200bO10023"},
		{"订单 ＳＯ１００２３ 到哪", "SO10023", "ＳＯ１００２３"},
		{"the cafe\u0301 \ufb01nds", "café finds", "cafe\u0301 \ufb01nds"},
	} {
		m := Read(c.in, 0)
		at := strings.Index(m.Plain, c.part)
		if at < 0 {
			t.Errorf("%q: %q is not in %q", c.in, c.part, m.Plain)
			continue
		}
		if start, end := m.Span(at, at+len(c.part)); c.in[start:end] != c.want {
			t.Errorf("%q: got %q, want %q", c.in, c.in[start:end], c.want)
		}
	}
	m := Read("abc", 0)
	for _, s := range [][2]int{{-1, 2}, {2, 1}, {0, 4}, {1, 1}} {
		if start, end := m.Span(s[0], s[1]); start != 0 || end != 0 {
			t.Errorf("span %v: got %d to %d, want nothing", s, start, end)
		}
	}
}

func TestTokens(t *testing.T) {
	m := Read("Don't ship SO10023 我要退 39码, naïve 7", 0)
	want := []Token{
		{"dont", 0, 5, Word}, {"ship", 6, 10, Word}, {"so10023", 11, 18, Word}, {"我", 19, 22, Han}, {"要", 22, 25, Han},
		{"退", 25, 28, Han}, {"39", 29, 31, Number}, {"码", 31, 34, Han}, {"naïve", 36, 42, Word}, {"7", 43, 44, Number},
	}
	if len(m.Tokens) != len(want) {
		t.Fatalf("got %v", m.Tokens)
	}
	for i, got := range m.Tokens {
		if got != want[i] {
			t.Errorf("token %d: got %v, want %v", i, got, want[i])
		}
	}
}

// TestStem has words of every step of the algorithm, with the stems that its author's list gives.
func TestStem(t *testing.T) {
	for word, want := range map[string]string{
		"caresses": "caress", "ties": "tie", "cries": "cri", "gas": "gas", "this": "this", "kiwis": "kiwi", "gaps": "gap",
		"agreed": "agre", "feed": "feed", "luxuriated": "luxuri", "hopping": "hop", "hoped": "hope", "falling": "fall",
		"cry": "cri", "by": "by", "say": "say", "national": "nation", "relational": "relat", "conditional": "condit",
		"organization": "organ", "generously": "generous", "communication": "communic", "consistency": "consist",
		"knightly": "knight", "hopeful": "hope", "goodness": "good", "electrical": "electr", "formative": "format",
		"adjustment": "adjust", "replacement": "replac", "adoption": "adopt", "rate": "rate", "controlling": "control",
		"skies": "sky", "dying": "die", "news": "news", "inning": "inning", "succeeded": "succeed", "youth": "youth",
		"boy": "boy", "boyish": "boyish", "flying": "fli", "syzygy": "syzygi", "returns": "return", "returned": "return",
		"returning": "return", "shipped": "ship", "delivery": "deliveri", "deliveries": "deliveri", "a": "a", "naïve": "naïve", "39": "39",
	} {
		if got := Stem(word); got != want {
			t.Errorf("%s: got %s, want %s", word, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"Where is SO10023?", "我的订单\u200bSO10023到哪了", "\u202e\xff\xfe", "e\u0301\u0301\u0301", "ﷺ", "a' 'b'c"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		m := Read(s, limit)
		if !utf8.ValidString(m.Plain) || len(m.Folded) != len(m.Plain) {
			t.Fatalf("%q is read as %q, folded %q", s, m.Plain, m.Folded)
		}
		if n := utf8.RuneCountInString(m.Plain); limit > 0 && n > limit {
			t.Fatalf("%q: %d runes, want at most %d", s, n, limit)
		}
		end := 0
		for _, token := range m.Tokens {
			if token.Start < end || token.End <= token.Start || token.End > len(m.Plain) || token.Text == "" {
				t.Fatalf("%q: token %+v after %d", s, token, end)
			}
			end = token.End
			if from, to := m.Span(token.Start, token.End); from >= to || to > len(s) {
				t.Fatalf("%q: token %+v is bytes %d to %d of %d", s, token, from, to, len(s))
			}
			Stem(token.Text)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for name, s := range map[string]string{
		"english": "hello, can you tell me where my order SO10023 is right now please",
		"chinese": "你好，我想问一下我的订单ＳＯ１００２３现在到哪里了",
		"1MB":     strings.Repeat("ab\u200bc 退货 ", 1<<16),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Read(s, 400)
			}
		})
	}
}
