package nlu

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/assistant/tagger"
)

func (r *run) snips() error {
	train, err := readSnips(r.Data, "train")
	if err != nil {
		return err
	}
	split := "test"
	if r.Dev {
		split = "dev"
	}
	test, err := readSnips(r.Data, split)
	if err != nil {
		return err
	}
	m, note, err := intents(sentences(train), nil)
	if err != nil {
		return err
	}
	all, each := understand(m, sentences(test))
	const name = "SNIPS"
	r.add(name, "intents", 0.975, accuracy(all, 2), note+", "+each.String())
	start := time.Now()
	t, err := tagger.Train(train)
	if err != nil {
		return err
	}
	took := time.Since(start)
	guessed, known := conll{}, conll{}
	each = nil
	for i, e := range test {
		start := time.Now()
		got := t.Tag(e.Tokens, all[i].Class)
		each = append(each, time.Since(start))
		guessed.add(got, e.Spans)
		known.add(t.Tag(e.Tokens, e.Intent), e.Spans)
	}
	r.add(name, "slot F1", 0.93, guessed.f1(), fmt.Sprintf("spans, with the intent that was understood; trained in %.1f s on 1 core, %v", took.Seconds(), each))
	r.add(name, "slot F1, true intent", 0, known.f1(), "")
	return nil
}

func sentences(examples []tagger.Example) []labelled {
	out := make([]labelled, len(examples))
	for i, e := range examples {
		words := make([]string, len(e.Tokens))
		for k, t := range e.Tokens {
			words[k] = t.Text
		}
		out[i] = labelled{strings.Join(words, " "), e.Intent}
	}
	return out
}

// conll counts spans as conlleval does: right is a span with the right tokens and label.
type conll struct{ right, found, wanted int }

func (c *conll) add(got, want []tagger.Span) {
	c.found += len(got)
	c.wanted += len(want)
	for _, s := range got {
		if slices.Contains(want, s) {
			c.right++
		}
	}
}

func (c *conll) f1() float64 { return 2 * float64(c.right) / float64(max(c.found+c.wanted, 1)) }
