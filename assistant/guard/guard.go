package guard

import (
	"sync"

	"github.com/skein-mesh/skein/assistant/linear"
	"github.com/skein-mesh/skein/assistant/text"
)

// Example is a message of which it is known whether it is an attack.
type Example struct {
	Text   string
	Attack bool
}

// Verdict is what the guard finds in a message.
type Verdict struct {
	Attack bool
	// Score is above 0 for an attack; the further from 0, the surer.
	Score float64
	// Rule names the rule that the message breaks; "" when only the machine found it, or nothing was found.
	Rule string
	// Start and End are the bytes of the original message that gave the most cause.
	Start, End int
}

// Limits of a message: what is beyond them is not looked at.
const (
	maxRunes     = 8000
	maxSentences = 200
)

// Guard looks at messages.
type Guard struct {
	space     *linear.Space
	whole     *linear.Model
	sentence  *linear.Model
	threshold float64
	scratch   sync.Pool // of *reader
}

type reader struct {
	traits linear.Extractor
	x      []linear.Cell
	score  [1]float32
}

func newReader() any { return &reader{} }

// Check looks at a message.
func (g *Guard) Check(message string) Verdict {
	m := text.Read(message, maxRunes)
	if len(m.Tokens) == 0 {
		return Verdict{Score: -1}
	}
	parts := sentences(m, message)
	if v, ok := broken(m, parts); ok {
		return v
	}
	if g.whole == nil {
		return Verdict{Score: -1}
	}
	r := g.scratch.Get().(*reader)
	defer g.scratch.Put(r)
	most, at := r.rate(g.space, g.sentence, m.Tokens[parts[0].from:parts[0].to]), 0
	for i := 1; i < len(parts); i++ {
		if s := r.rate(g.space, g.sentence, m.Tokens[parts[i].from:parts[i].to]); s > most {
			most, at = s, i
		}
	}
	v := Verdict{Score: mixed(r.rate(g.space, g.whole, m.Tokens), most) - g.threshold}
	v.Attack = v.Score > 0
	v.Start, v.End = parts[at].span(m)
	return v
}

// sentenceShare is how much the worst sentence counts beside the whole message.
const sentenceShare = 0.7

func mixed(whole, worst float64) float64 { return (1-sentenceShare)*whole + sentenceShare*worst }

// rate scores tokens by one machine.
func (r *reader) rate(space *linear.Space, machine *linear.Model, ts []text.Token) float64 {
	r.x, _ = space.Vector(r.traits.Traits(ts), r.x)
	return float64(machine.Scores(r.x, r.score[:])[0])
}

// part is a sentence: the tokens from to to (exclusive) of a message.
type part struct{ from, to int }

func (p part) span(m *text.Message) (start, end int) {
	return m.Span(m.Tokens[p.from].Start, m.Tokens[p.to-1].End)
}

// sentences splits a message where one ends, or a line does.
func sentences(m *text.Message, original string) []part {
	out := make([]part, 0, 8)
	from := 0
	for i := 1; i < len(m.Tokens) && len(out) < maxSentences-1; i++ {
		if ends(m, original, i) {
			out = append(out, part{from, i})
			from = i
		}
	}
	return append(out, part{from, len(m.Tokens)})
}

// ends reports whether a sentence ends before the token at i.
func ends(m *text.Message, original string, i int) bool {
	gap := m.Plain[m.Tokens[i-1].End:m.Tokens[i].Start]
	for k := range len(gap) {
		switch gap[k] {
		case '.', '!', '?', ':', ';':
			// Between letters it is part of a number, a time or an address.
			if k+1 < len(gap) || m.Tokens[i].Kind == text.Han || m.Tokens[i-1].Kind == text.Han {
				return true
			}
		}
	}
	_, last := m.Span(m.Tokens[i-1].Start, m.Tokens[i-1].End)
	next, _ := m.Span(m.Tokens[i].Start, m.Tokens[i].End)
	for k := last; k < next; k++ {
		if original[k] == '\n' {
			return true
		}
	}
	return false
}
