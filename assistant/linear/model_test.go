package linear

import (
	"fmt"
	"slices"
	"testing"

	"github.com/skein-mesh/skein/assistant/text"
)

// corpus has messages of n classes; each class has a word of its own, in English or Chinese.
func corpus(n int) (messages [][]Trait, labels []int32) {
	var x Extractor
	for class := range n {
		for k := range 6 {
			s := fmt.Sprintf("please word%c%c do this %d", 'a'+class, 'a'+class, k)
			if class%2 == 1 {
				s = fmt.Sprintf("请帮我%c%c一下这个%d", '一'+rune(class*7), '丁'+rune(class*13), k)
			}
			messages = append(messages, slices.Clone(x.Traits(text.Read(s, 0).Tokens)))
			labels = append(labels, int32(class))
		}
	}
	return messages, labels
}

func trained(n, workers int) (*Space, *Model, [][]Cell, []int32) {
	messages, labels := corpus(n)
	space := NewSpace(messages, 1)
	rows := make([][]Cell, len(messages))
	for i, m := range messages {
		rows[i], _ = space.Vector(m, nil)
	}
	return space, Train(rows, labels, space.Columns(), n, Settings{Workers: workers}), rows, labels
}

func TestTrain(t *testing.T) {
	_, m, rows, labels := trained(9, 1)
	scores := make([]float32, 9)
	for i, r := range rows {
		s := m.Scores(r, scores)
		for class, v := range s {
			if inside := v > 0; inside != (int32(class) == labels[i]) {
				t.Errorf("message %d of class %d: score %.2f for class %d", i, labels[i], v, class)
			}
		}
	}
}

// TestWorkers shows that the weights do not depend on how many goroutines find them.
func TestWorkers(t *testing.T) {
	_, one, _, _ := trained(9, 1)
	for _, workers := range []int{2, 3, 50} {
		_, many, _, _ := trained(9, workers)
		if !slices.Equal(one.weights, many.weights) || !slices.Equal(one.bias, many.bias) || !slices.Equal(one.scale, many.scale) {
			t.Errorf("%d workers find other weights than one", workers)
		}
	}
}

// TestOptimum compares the solver with the gradient of what it minimises: at the optimum the weights are the sum of
// the errors of the examples (the representer theorem), so the gradient is 0.
func TestOptimum(t *testing.T) {
	messages, labels := corpus(4)
	space := NewSpace(messages, 1)
	rows := make([][]Cell, len(messages))
	for i, m := range messages {
		rows[i], _ = space.Vector(m, nil)
	}
	s := newSolver(rows, space.Columns())
	s.near = 1e-4
	const cost = 2
	w := s.fit(labels, 1, Settings{Cost: cost, Epochs: 500})
	gradient := slices.Clone(w)
	for i, r := range rows {
		y := float32(-1)
		if labels[i] == 1 {
			y = 1
		}
		if slack := 1 - y*s.dot(int32(i)); slack > 0 {
			for _, c := range r {
				gradient[c.Column] -= 2 * cost * slack * y * c.Weight
			}
			gradient[len(w)-1] -= 2 * cost * slack * y
		}
	}
	for col, g := range gradient {
		if g > 0.01 || g < -0.01 {
			t.Errorf("gradient of weight %d: %g, want about 0", col, g)
		}
	}
}

func TestNoExamples(t *testing.T) {
	space := NewSpace(nil, 1)
	m := Train(nil, nil, 0, 2, Settings{})
	x, known := space.Vector([]Trait{{Hash: 1, Weight: 1}}, nil)
	if s := m.Scores(x, make([]float32, 2)); s[0] != 0 || known != 0 || len(x) != 0 {
		t.Errorf("got %v of %v, known %g", s, x, known)
	}
}

func TestTraits(t *testing.T) {
	var x Extractor
	read := func(s string) []Trait { return slices.Clone(x.Traits(text.Read(s, 0).Tokens)) }
	shared := func(a, b string) float64 {
		first := read(a)
		n := 0
		for _, t := range read(b) {
			if slices.ContainsFunc(first, func(f Trait) bool { return f.Hash == t.Hash }) {
				n++
			}
		}
		return float64(n) / float64(len(first))
	}
	for _, c := range []struct {
		a, b        string
		least, most float64
	}{
		{"where is it", "Where is it?", 1, 1},
		{"wake me at 7", "wake me at 8", 0.7, 0.95}, // the number alone differs
		{"returned", "returns", 0.4, 0.9},
		{"refund", "refnud", 0.15, 0.5},
		{"我要退货", "退货我要", 0.3, 0.9},
		{"hello", "你好", 0, 0.01},
	} {
		if got := shared(c.a, c.b); got < c.least || got > c.most {
			t.Errorf("%q and %q share %.2f, want %.2f to %.2f", c.a, c.b, got, c.least, c.most)
		}
	}
	long := text.Read(string(slices.Repeat([]byte("abc "), 1<<18)), 0).Tokens
	if n := len(read("a")); n == 0 || len(x.Traits(long)) > 100*MaxTokens {
		t.Errorf("%d traits", n)
	}
}

func BenchmarkTraits(b *testing.B) {
	ts := text.Read("can you tell me where my order is right now please", 0).Tokens
	var x Extractor
	b.ReportAllocs()
	for b.Loop() {
		x.Traits(ts)
	}
}
