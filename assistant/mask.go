package assistant

import (
	"strings"

	words "github.com/skein-mesh/skein/assistant/text"
)

// read normalises a text of a definition or a message.
func read(s string) *words.Message { return words.Read(s, maxRead) }

// mask gives the tokens of a message with the names of its entities in place of what stands for them. mentions are
// ordered by their start.
func mask(m *words.Message, mentions []mention) []words.Token {
	if len(mentions) == 0 {
		return m.Tokens
	}
	out := make([]words.Token, 0, len(m.Tokens))
	for _, t := range m.Tokens {
		for len(mentions) > 0 && mentions[0].start < t.End {
			out = append(out, entityToken(mentions[0]))
			mentions = mentions[1:]
		}
		if n := len(out); n > 0 && out[n-1].Kind == words.Entity && t.Start < out[n-1].End {
			continue // a part of what the entity stands for
		}
		out = append(out, t)
	}
	for _, m := range mentions {
		out = append(out, entityToken(m))
	}
	return out
}

func entityToken(m mention) words.Token {
	return words.Token{Text: m.entity.name, Start: m.start, End: m.end, Kind: words.Entity}
}

// masked gives the tokens of a sentence of the definition.
func (def *definition) masked(s string) []words.Token {
	m := read(s)
	return mask(m, resolve(def.find(m), ""))
}

// set makes a set of words.
func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}
