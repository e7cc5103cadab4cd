package tagger

import (
	"fmt"
	"slices"

	"github.com/skein-mesh/skein/assistant/text"
)

// Span is an entity: the tokens From to To (exclusive) of a message.
type Span struct {
	From, To int
	Label    string
}

// Example is a message with its entities marked. Spans are ordered and do not overlap.
type Example struct {
	Intent string // may be "" if those of all are
	Tokens []text.Token
	Spans  []Span
}

// Limits of the examples and of a message.
const (
	MaxLabels   = 120
	MaxExamples = 100_000
	maxTokens   = 200 // of a message; the rest of a longer one has no entities
)

// outside is the label of a token that belongs to no span. Label k > 0 begins a span if it is odd and goes on with
// one if it is even.
const outside = 0

// Tagger finds the spans that it was trained for.
type Tagger struct {
	names   []string // of labels: the name of label k is names[(k-1)/2]
	intents map[string]*allowed
	book    *phrasebook
	columns map[uint64]int32 // of traits
	model   *field
}

// allowed are the labels that messages of one intent may have, ordered; the first is outside.
type allowed struct {
	labels []uint8
	// before gives for each label the places in labels of those that may stand before it.
	before [][]uint8
}

// Train learns from examples. It fails when there are too many labels or examples, or a span is not inside its message.
func Train(examples []Example) (*Tagger, error) {
	if len(examples) > MaxExamples {
		return nil, fmt.Errorf("train tagger: %d examples, at most %d", len(examples), MaxExamples)
	}
	t := &Tagger{intents: map[string]*allowed{}}
	index := map[string]int{}
	for i, e := range examples {
		end := 0
		for _, s := range e.Spans {
			if s.From < end || s.To <= s.From || s.To > len(e.Tokens) {
				return nil, fmt.Errorf("train tagger: example %d: span %d to %d of %d tokens", i, s.From, s.To, len(e.Tokens))
			}
			end = s.To
			if _, ok := index[s.Label]; !ok {
				index[s.Label] = len(t.names)
				t.names = append(t.names, s.Label)
			}
		}
	}
	if len(t.names) > MaxLabels {
		return nil, fmt.Errorf("train tagger: %d labels, at most %d", len(t.names), MaxLabels)
	}
	t.book = newPhrasebook(examples, index)
	t.allow(examples, index)
	t.fit(examples, index)
	return t, nil
}

// gold gives the labels of an example's tokens.
func gold(e *Example, index map[string]int) []uint8 {
	out := make([]uint8, min(len(e.Tokens), maxTokens))
	for _, s := range e.Spans {
		for i := s.From; i < min(s.To, len(out)); i++ {
			out[i] = uint8(2*index[s.Label] + 2)
		}
		if s.From < len(out) {
			out[s.From]--
		}
	}
	return out
}

// allow notes which labels the messages of each intent have.
func (t *Tagger) allow(examples []Example, index map[string]int) {
	seen := map[string][]bool{}
	for _, e := range examples {
		if seen[e.Intent] == nil {
			seen[e.Intent] = make([]bool, len(t.names))
		}
		for _, s := range e.Spans {
			seen[e.Intent][index[s.Label]] = true
		}
	}
	for intent, names := range seen {
		t.intents[intent] = newAllowed(names)
	}
}

func newAllowed(names []bool) *allowed {
	a := &allowed{labels: []uint8{outside}}
	for i, ok := range names {
		if ok {
			a.labels = append(a.labels, uint8(2*i+1), uint8(2*i+2))
		}
	}
	a.before = make([][]uint8, len(a.labels))
	for i, label := range a.labels {
		for j, prev := range a.labels {
			if follows(prev, label) {
				a.before[i] = append(a.before[i], uint8(j))
			}
		}
	}
	return a
}

// follows reports whether label may stand after prev: a span goes on only with its own label.
func follows(prev, label uint8) bool {
	return label == outside || label%2 == 1 || prev == label || prev == label-1
}

// Tag finds the spans of a message, given the intent that it has. A message of an intent that no example has gets
// none.
func (t *Tagger) Tag(tokens []text.Token, intent string) []Span {
	tokens = tokens[:min(len(tokens), maxTokens)]
	labels := t.intents[intent]
	if labels == nil || len(tokens) == 0 {
		return nil
	}
	x := &extractor{book: t.book, columns: t.columns}
	x.read(tokens, intent, nil)
	c := chain{allowed: labels}
	c.scores(t.model, x)
	return t.spans(c.best(t.model))
}

func (t *Tagger) spans(labels []uint8) []Span {
	var out []Span
	for i, l := range labels {
		switch {
		case l == outside:
		case l%2 == 1:
			out = append(out, Span{From: i, To: i + 1, Label: t.names[(l-1)/2]})
		default:
			out[len(out)-1].To = i + 1
		}
	}
	return slices.Clip(out)
}
