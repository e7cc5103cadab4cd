package assistant

import (
	"slices"

	"github.com/skein-mesh/skein/assistant/tagger"
	words "github.com/skein-mesh/skein/assistant/text"
)

// marked is an example of an intent with the entities that it marks.
type marked struct {
	intent, text string
	marks        []mark
}

// mark is an entity at bytes start to end of an example.
type mark struct {
	entity     *entity
	start, end int
}

// train makes the tagger of the entities that are learnt from the examples, nil if none is.
func (def *definition) train() (*tagger.Tagger, error) {
	if !slices.ContainsFunc(def.entities, func(e *entity) bool { return e.learn }) {
		return nil, nil
	}
	var examples []tagger.Example
	for _, x := range def.marked {
		m := read(x.text)
		e := tagger.Example{Intent: x.intent, Tokens: m.Tokens}
		for _, k := range x.marks {
			if from, to := covered(m, k.start, k.end); k.entity.learn && from < to {
				e.Spans = append(e.Spans, tagger.Span{From: from, To: to, Label: k.entity.name})
			}
		}
		examples = append(examples, e)
	}
	return tagger.Train(examples)
}

// covered gives the tokens of a message that came from the bytes start to end of its original.
func covered(m *words.Message, start, end int) (from, to int) {
	for i, t := range m.Tokens {
		a, b := m.Span(t.Start, t.End)
		if b <= start || a >= end {
			continue
		}
		if to == 0 {
			from = i
		}
		to = i + 1
	}
	return from, to
}

// learned adds to the mentions of a message what the tagger finds beside them, for the intent that the message has.
func (a *Assistant) learned(m *words.Message, intent string, found []mention) []mention {
	if a.tagger == nil || intent == "" {
		return found
	}
	all := slices.Clone(found)
	for _, s := range a.tagger.Tag(m.Tokens, intent) {
		i := slices.IndexFunc(a.def.entities, func(e *entity) bool { return e.name == s.Label })
		start, end := m.Tokens[s.From].Start, m.Tokens[s.To-1].End
		if !slices.ContainsFunc(found, func(k mention) bool { return k.start < end && start < k.end }) {
			all = append(all, mention{entity: a.def.entities[i], value: m.Plain[start:end], start: start, end: end})
		}
	}
	slices.SortStableFunc(all, func(a, b mention) int { return a.start - b.start })
	return all
}
