package linear

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/skein-mesh/skein/assistant/text"
)

// Trait is one hashed trait of a message, weighted by its kind and by how often it is there.
type Trait struct {
	Hash   uint64
	Weight float32
	// Unit marks a whole word, Chinese character or entity, of which the other traits are made.
	Unit bool
}

// kind is what a trait is made of. It begins the hash, so that traits of different kinds never meet.
type kind uint8

const (
	wordUnit kind = iota
	stemUnit
	wordPair
	wordSkip
	wordTriple
	wordPart
	hanUnit
	hanPair
	hanSkip
	hanTriple
	entityUnit
	kinds
)

// kindWeights is how much a trait counts by its kind, beside its rarity. Parts of words help only where a word is
// inflected or misspelt, and there are many of them.
var kindWeights = [kinds]float32{
	wordUnit: 1, stemUnit: 1, wordPair: 0.8, wordSkip: 0.35, wordTriple: 0.3, wordPart: 0.4,
	hanUnit: 0.8, hanPair: 1, hanSkip: 0.4, hanTriple: 0.5, entityUnit: 1,
}

// hasher is FNV-1a over 64 bits (draft-eastlake-fnv, section 4).
type hasher uint64

func newHash(k kind) hasher { return hasher(14695981039346656037).byte(byte(k)) }

func (h hasher) byte(b byte) hasher { return (h ^ hasher(b)) * 1099511628211 }

func (h hasher) text(s string) hasher {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h
}

// Extractor turns tokens into traits. Its zero value is ready; it keeps its space between messages and is for one
// goroutine.
type Extractor struct {
	// Weak is how much function words count, 0 to 1; 0 means 1. Where examples are few, their rarity does not show that
	// such words say little.
	Weak float32

	found []Trait
	names []string // of the tokens, as pairs see them
	share []float32
}

// Limits of what a message adds: of a longer one the beginning is read.
const (
	MaxTokens = 400
	maxWord   = 24 // bytes of a word that are cut in parts
	shortPart = 2  // letters
	longPart  = 4
	reach     = 5 // tokens between which a pair of words may stand
)

// edge stands before the first token and after the last.
const edge = "\x00"

// Traits gives the traits of a message, each once, ordered by hash. They are valid until the next call.
func (x *Extractor) Traits(ts []text.Token) []Trait {
	ts = ts[:min(len(ts), MaxTokens)]
	x.found, x.names, x.share = x.found[:0], x.names[:0], x.share[:0]
	for _, t := range ts {
		share := float32(1)
		if x.Weak > 0 && t.Kind != text.Entity && text.Weak(t.Text) {
			share = x.Weak
		}
		x.share = append(x.share, share)
		name := t.Text
		if t.Kind == text.Word || t.Kind == text.Number {
			name = digits(text.Stem(name))
		}
		x.names = append(x.names, name)
	}
	for i, t := range ts {
		w := x.share[i]
		switch t.Kind {
		case text.Entity:
			x.add(entityUnit, newHash(entityUnit).text(t.Text), w)
		case text.Han:
			x.add(hanUnit, newHash(hanUnit).text(t.Text), w)
		default:
			x.add(wordUnit, newHash(wordUnit).text(t.Text), w)
			x.add(stemUnit, newHash(stemUnit).text(x.names[i]), w)
			x.parts(t.Text, w)
		}
	}
	for i := range len(ts) + 1 {
		x.pairs(ts, i)
	}
	return x.merge()
}

func (x *Extractor) add(k kind, h hasher, share float32) {
	x.found = append(x.found, Trait{uint64(h), share * kindWeights[k], k == stemUnit || k == hanUnit || k == entityUnit})
}

func (x *Extractor) name(i int) string {
	if i < 0 || i >= len(x.names) {
		return edge
	}
	return x.names[i]
}

// strength is how much a pair counts: as much as the stronger of its tokens.
func (x *Extractor) strength(i, k int) float32 {
	var w float32
	for _, at := range [2]int{i, k} {
		if at >= 0 && at < len(x.share) {
			w = max(w, x.share[at])
		}
	}
	return w
}

// pairs adds the traits that end with the token at i (or the end of the message) and begin before it.
func (x *Extractor) pairs(ts []text.Token, i int) {
	chinese := func(i int) bool { return i >= 0 && i < len(ts) && ts[i].Kind == text.Han }
	pair, skip, triple := wordPair, wordSkip, wordTriple
	if chinese(i) && (i == 0 || chinese(i-1)) || i == len(ts) && chinese(i-1) {
		pair, skip, triple = hanPair, hanSkip, hanTriple
	}
	last := x.name(i)
	x.add(pair, newHash(pair).text(x.name(i-1)).byte(' ').text(last), x.strength(i-1, i))
	if i < 2 {
		return
	}
	far := reach
	if skip == hanSkip {
		far = 2
	}
	for d := 2; d <= far && d <= i; d++ {
		x.add(skip, newHash(skip).text(x.name(i-d)).byte(' ').text(last), x.strength(i-d, i))
	}
	x.add(triple, newHash(triple).text(x.name(i-2)).byte(' ').text(x.name(i-1)).byte(' ').text(last), max(x.strength(i-2, i), x.strength(i-1, i)))
}

// parts adds the two to four letter parts of a word with its borders.
func (x *Extractor) parts(w string, share float32) {
	w = w[:min(len(w), maxWord)]
	var space [maxWord + 2]byte
	b := append(append(append(space[:0], '^'), w...), '$')
	for n := shortPart; n <= longPart; n++ {
		for i := 0; i+n <= len(b); i++ {
			h := newHash(wordPart)
			for _, c := range b[i : i+n] {
				h = h.byte(c)
			}
			x.add(wordPart, h, share)
		}
	}
}

// merge orders the traits and makes those that are there n times one, with 1 + ln n of the weight (Manning,
// Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 6.4.1).
func (x *Extractor) merge() []Trait {
	slices.SortFunc(x.found, func(a, b Trait) int { return cmp.Compare(a.Hash, b.Hash) })
	out := x.found[:0]
	for i := 0; i < len(x.found); {
		t, n := x.found[i], 1
		for i+n < len(x.found) && x.found[i+n].Hash == t.Hash {
			n++
		}
		if i += n; n > 1 {
			t.Weight *= float32(1 + math.Log(float64(n)))
		}
		out = append(out, t)
	}
	return out
}

// digits writes every digit as 0: 7 and 8 o'clock mean the same.
func digits(w string) string {
	if !strings.ContainsAny(w, "123456789") {
		return w
	}
	return strings.Map(func(r rune) rune {
		if r >= '1' && r <= '9' {
			return '0'
		}
		return r
	}, w)
}
