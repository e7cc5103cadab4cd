package assistant

import (
	"cmp"
	"slices"
)

// feature is one hashed trait of a message.
type feature struct {
	hash   uint64
	weight float32
}

// The kinds of traits and how much each counts. Long units are rarer and tell more; parts of words only
// help where a word is misspelt or inflected.
const (
	wordUnit   = 'w'
	wordPair   = 'p'
	wordPart   = 'n'
	hanUnit    = 'c'
	hanPair    = 'b'
	hanTriple  = 't'
	entityUnit = 'e'
	phraseUnit = 'f'
)

var unitWeights = map[byte]float32{wordUnit: 1, wordPair: 0.7, wordPart: 0.25, hanUnit: 0.8, hanPair: 1, hanTriple: 0.5, entityUnit: 0.6}

const weakWeight = 0.3

// hasher is FNV-1a over 64 bits (the Fowler–Noll–Vo hash, draft-eastlake-fnv, section 4).
type hasher uint64

func newHash(kind byte) hasher { return hasher(14695981039346656037).byte(kind) }

func (h hasher) byte(b byte) hasher { return (h ^ hasher(b)) * 1099511628211 }

func (h hasher) text(s string) hasher {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h
}

// features gives the traits of a message, each hash once, ordered.
func features(ts []token) []feature {
	fs := make([]feature, 0, 8*len(ts))
	add := func(kind byte, h hasher, w float32) {
		fs = append(fs, feature{uint64(h), unitWeights[kind] * w})
	}
	for i, t := range ts {
		w := float32(1)
		if !t.entity && weak[t.text] {
			w = weakWeight
		}
		switch {
		case t.entity:
			add(entityUnit, newHash(entityUnit).text(t.text), 1)
		case t.han:
			add(hanUnit, newHash(hanUnit).text(t.text), w)
		default:
			add(wordUnit, newHash(wordUnit).text(stem(t.text)), w)
			if w == 1 {
				fs = wordParts(fs, t.text)
			}
		}
		if i == 0 {
			continue
		}
		fs = pairs(fs, ts[:i+1], w)
	}
	return merge(fs)
}

// pairs adds the units that end with the last token and begin before it.
func pairs(fs []feature, ts []token, w float32) []feature {
	n := len(ts)
	last, prev := ts[n-1], ts[n-2]
	if weak[last.text] && weak[prev.text] {
		w = weakWeight
	} else {
		w = max(w, 0.6)
	}
	if !last.han || !prev.han {
		h := newHash(wordPair).text(stem(prev.text)).byte(' ').text(stem(last.text))
		return append(fs, feature{uint64(h), unitWeights[wordPair] * w})
	}
	fs = append(fs, feature{uint64(newHash(hanPair).text(prev.text).text(last.text)), unitWeights[hanPair] * w})
	if n > 2 && ts[n-3].han {
		h := newHash(hanTriple).text(ts[n-3].text).text(prev.text).text(last.text)
		fs = append(fs, feature{uint64(h), unitWeights[hanTriple] * w})
	}
	return fs
}

// wordParts adds the three and four letter parts of a word with its borders.
func wordParts(fs []feature, w string) []feature {
	b := "^" + w + "$"
	for n := 3; n <= 4; n++ {
		for i := 0; i+n <= len(b); i++ {
			fs = append(fs, feature{uint64(newHash(wordPart).text(b[i : i+n])), unitWeights[wordPart]})
		}
	}
	return fs
}

func merge(fs []feature) []feature {
	slices.SortFunc(fs, func(a, b feature) int { return cmp.Compare(a.hash, b.hash) })
	return slices.CompactFunc(fs, func(a, b feature) bool { return a.hash == b.hash })
}
