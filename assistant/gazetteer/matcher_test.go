package gazetteer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/assistant/text"
)

func matcher(t testing.TB, errors int, words ...string) *Matcher {
	t.Helper()
	var list []Word
	for i, w := range words {
		list = append(list, Word{w, i})
	}
	m, err := New(list, errors)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFind(t *testing.T) {
	words := []string{"Runner X", "running shoes", "跑鞋", "那款鞋", "broken", "changed my mind", "不想要了", "上海浦东国际机场", "hat", "42"}
	for _, c := range []struct {
		errors  int
		message string
		want    string // matched text=word/errors
	}{
		{0, "do you have the RUNNER X", "RUNNER X=Runner X/0"},
		{0, "do you have the runer x", ""},
		{1, "do you have the runer x in 39", "runer x=Runner X/1"},
		{1, "runing shoes", "runing shoes=running shoes/1"},
		{1, "it is borken", "borken=broken/1"},
		{1, "it is brkn", ""},
		{1, "it is rboken", "rboken=broken/1"},
		{1, "it is xroken", ""},
		{1, "它坏款鞋", ""},
		{1, "我要哪款鞋", ""},
		{2, "i changd my mnd", "changd my mnd=changed my mind/2"},
		{1, "unbroken", ""},
		{1, "broken.", "broken=broken/0"},
		{1, "a hot day", ""},
		{2, "size 43", ""},
		{1, "那款鞋还有吗，不想要了", "那款鞋=那款鞋/0 不想要了=不想要了/0"},
		{1, "我不想耍了", "不想耍了=不想要了/1"},
		{2, "去上海蒲东国际机场", "上海蒲东国际机场=上海浦东国际机场/1"},
		{1, "", ""},
		{1, "Ｒｕｎｎｅｒ Ｘ", "Runner X=Runner X/0"},
	} {
		message := text.Read(c.message, 0)
		var got []string
		for _, m := range matcher(t, c.errors, words...).Find(message) {
			got = append(got, fmt.Sprintf("%s=%s/%d", message.Plain[m.Start:m.End], words[m.Value], m.Errors))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q with %d errors: got %q, want %q", c.message, c.errors, s, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		words  []Word
		errors int
	}{
		{[]Word{{"a", 0}}, MaxErrors + 1}, {[]Word{{"a", 0}}, -1}, {[]Word{{"", 0}}, 0}, {[]Word{{"…", 0}}, 0},
		{[]Word{{strings.Repeat("a", maxRunes+1), 0}}, 0}, {make([]Word, MaxWords+1), 0},
	} {
		if _, err := New(c.words, c.errors); err == nil {
			t.Errorf("%d words with %d errors are taken", len(c.words), c.errors)
		}
	}
}

// distance is the optimal string alignment distance by its definition.
func distance(a, b []rune) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = d[i-1][j-1] + 1
			}
			d[i][j] = min(d[i][j], d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// TestDistance compares the trie with the table for random words.
func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		list, said := letters(r, 8+r.IntN(4)), letters(r, 6+r.IntN(7))
		if list[0] != said[0] {
			continue // not compared, or only as letters that changed places
		}
		want := distance([]rune(list), []rune(said))
		got := matcher(t, 2, list).Find(text.Read(said, 0))
		if found := len(got) == 1; found != (want <= 2) || found && got[0].Errors != want {
			t.Fatalf("%s for %s: got %v, want distance %d", said, list, got, want)
		}
	}
}

// letters makes words that are often near each other.
func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%3)
		if r.IntN(5) == 0 {
			b[i] = 'a' + byte(r.IntN(3))
		}
	}
	return string(b)
}

// TestBounded shows that a hostile list and message end.
func TestBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var list []Word
	for i := range 20_000 {
		list = append(list, Word{letters(r, 30), i})
	}
	m, err := New(list, 2)
	if err != nil {
		t.Fatal(err)
	}
	message := strings.Repeat("abcabcabcabcabcabcabcabcabcabc ", 2000)
	s := search{m: m, steps: maxSteps, errors: 2}
	s.read(text.Read(message, 0))
	for _, from := range s.starts {
		s.from(from)
	}
	// Letter by letter a place costs at most the longest word times the letters of the alphabet.
	if most := len(s.starts) * 30 * 3; -s.steps > most {
		t.Errorf("%d steps beyond the limit, want at most %d", -s.steps, most)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("runner x", "do you have runer  x\u200b in 39")
	f.Add("跑鞋", "那款跑鞋")
	f.Add("a\xff", "\u202eabc")
	f.Fuzz(func(t *testing.T, word, message string) {
		m, err := New([]Word{{word, 7}, {"runner x", 1}}, 2)
		if err != nil {
			return
		}
		read := text.Read(message, 0)
		end := 0
		for _, x := range m.Find(read) {
			if x.Start < end || x.End <= x.Start || x.End > len(read.Plain) || x.Errors > 2 {
				t.Fatalf("%q in %q: %+v", word, message, x)
			}
			end = x.End
			if from, to := read.Span(x.Start, x.End); from >= to || to > len(message) {
				t.Fatalf("%q in %q: span %d to %d", word, message, from, to)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	var list []Word
	for i := range 5000 {
		word := make([]byte, 5+r.IntN(10))
		for k := range word {
			word[k] = 'a' + byte(r.IntN(26))
		}
		list = append(list, Word{string(word), i})
	}
	m, err := New(append(list, Word{"running shoes", 1}), 1)
	if err != nil {
		b.Fatal(err)
	}
	message := text.Read("do you still have the runing shoes in size 39 or 40 please", 0)
	b.ReportAllocs()
	for b.Loop() {
		m.Find(message)
	}
}
