package tagger

import (
	"strings"

	"github.com/skein-mesh/skein/assistant/text"
)

// phrasebook knows the phrases that the examples mark, and in which spans each word stands.
type phrasebook struct {
	phrases map[string][]counted // by text
	first   map[string]int       // longest phrase in tokens, by its first token
	words   map[string]wordUse
}

// counted is the name of a span with how often it was seen.
type counted struct {
	name  uint8
	count int32
}

// wordUse counts where a word stands.
type wordUse struct {
	outside int32
	inside  []counted
}

func (u wordUse) of(name uint8) int32 {
	for _, c := range u.inside {
		if c.name == name {
			return c.count
		}
	}
	return 0
}

func (u wordUse) total() int32 {
	n := u.outside
	for _, c := range u.inside {
		n += c.count
	}
	return n
}

const maxPhrase = 12 // tokens

func newPhrasebook(examples []Example, index map[string]int) *phrasebook {
	b := &phrasebook{phrases: map[string][]counted{}, first: map[string]int{}, words: uses(examples, index)}
	for _, e := range examples {
		for _, s := range e.Spans {
			if s.To-s.From > maxPhrase {
				continue
			}
			key, head := joined(e.Tokens[s.From:s.To]), e.Tokens[s.From].Text
			b.phrases[key] = count(b.phrases[key], uint8(index[s.Label]))
			b.first[head] = max(b.first[head], s.To-s.From)
		}
	}
	return b
}

// uses counts where the words of examples stand.
func uses(examples []Example, index map[string]int) map[string]wordUse {
	words := map[string]wordUse{}
	for i := range examples {
		for k, l := range gold(&examples[i], index) {
			w := examples[i].Tokens[k].Text
			u := words[w]
			if l == outside {
				u.outside++
			} else {
				u.inside = count(u.inside, (l-1)/2)
			}
			words[w] = u
		}
	}
	return words
}

func count(list []counted, name uint8) []counted {
	for i := range list {
		if list[i].name == name {
			list[i].count++
			return list
		}
	}
	return append(list, counted{name, 1})
}

func joined(ts []text.Token) string {
	if len(ts) == 1 {
		return ts[0].Text
	}
	var b strings.Builder
	for i, t := range ts {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
	}
	return b.String()
}

// hit is a known phrase in a message.
type hit struct {
	from, to int
	name     uint8
}

// hits gives the longest known phrases from each place on, without what only the spans own taught.
func (b *phrasebook) hits(ts []text.Token, own []Span, index map[string]int) []hit {
	var out []hit
	for i := range ts {
		for n := min(b.first[ts[i].Text], len(ts)-i); n > 0; n-- {
			key := joined(ts[i : i+n])
			before := len(out)
			for _, p := range b.phrases[key] {
				for _, s := range own {
					if uint8(index[s.Label]) == p.name && joined(ts[s.From:min(s.To, len(ts))]) == key {
						p.count--
					}
				}
				if p.count > 0 {
					out = append(out, hit{i, i + n, p.name})
				}
			}
			if len(out) > before {
				break
			}
		}
	}
	return out
}
