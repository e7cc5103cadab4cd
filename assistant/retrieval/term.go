package retrieval

import (
	"cmp"
	"slices"

	"github.com/skein-mesh/skein/assistant/text"
)

// term is one hashed unit of a text that is compared.
type term struct {
	hash   uint64
	weight float32 // by its kind
	count  float32
}

// The kinds of terms, and how much each counts beside its rarity. Single Chinese characters are weak signs next to
// pairs, but all that a short question has; parts of words make compounds and misspelt words meet.
const (
	stemTerm = 's'
	partTerm = 'n'
	pairTerm = 'p'
	hanTerm  = 'c'
	hanPair  = 'b'
	nameTerm = 'e'

	partWeight = 0.4
	pairWeight = 0.15
	hanWeight  = 0.4
	weakWeight = 0.3 // of a word that is in any question
)

const (
	maxTokens = 4096 // of a text; the rest of a longer one is not compared
	maxWord   = 24   // bytes of a word that are cut in parts
)

// hasher is FNV-1a over 64 bits (draft-eastlake-fnv, section 4).
type hasher uint64

func newHash(kind byte) hasher { return hasher(14695981039346656037).byte(kind) }

func (h hasher) byte(b byte) hasher { return (h ^ hasher(b)) * 1099511628211 }

func (h hasher) text(s string) hasher {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h
}

// terms gives the terms of a text, each once, ordered by hash, in the space of out.
func terms(ts []text.Token, out []term) []term {
	ts, out = ts[:min(len(ts), maxTokens)], out[:0]
	before := "" // stem of the word before
	for i, t := range ts {
		w := float32(1)
		if t.Kind != text.Entity && text.Weak(t.Text) {
			w = weakWeight
		}
		switch t.Kind {
		case text.Entity:
			out = append(out, term{uint64(newHash(nameTerm).text(t.Text)), 1, 1})
			before = ""
		case text.Han:
			out = append(out, term{uint64(newHash(hanTerm).text(t.Text)), hanWeight * w, 1})
			if i > 0 && ts[i-1].Kind == text.Han {
				out = append(out, term{uint64(newHash(hanPair).text(ts[i-1].Text).text(t.Text)), 1, 1})
			}
			before = ""
		default:
			stem := text.Stem(t.Text)
			out = append(out, term{uint64(newHash(stemTerm).text(stem)), w, 1})
			if before != "" {
				out = append(out, term{uint64(newHash(pairTerm).text(before).byte(' ').text(stem)), pairWeight, 1})
			}
			if before = stem; w == 1 {
				out = parts(t.Text, out)
			}
		}
	}
	return merge(out)
}

// parts adds the three and four letter parts of a word with its borders.
func parts(w string, out []term) []term {
	w = w[:min(len(w), maxWord)]
	var space [maxWord + 2]byte
	b := append(append(append(space[:0], '^'), w...), '$')
	for n := 3; n <= 4; n++ {
		for i := 0; i+n <= len(b); i++ {
			h := newHash(partTerm)
			for _, c := range b[i : i+n] {
				h = h.byte(c)
			}
			out = append(out, term{uint64(h), partWeight, 1})
		}
	}
	return out
}

func merge(all []term) []term {
	slices.SortFunc(all, func(a, b term) int { return cmp.Compare(a.hash, b.hash) })
	kept := all[:0]
	for _, t := range all {
		if n := len(kept); n > 0 && kept[n-1].hash == t.hash {
			kept[n-1].count++
			continue
		}
		kept = append(kept, t)
	}
	return kept
}
