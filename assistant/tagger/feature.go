package tagger

import (
	"strings"

	"github.com/skein-mesh/skein/assistant/text"
)

// extractor turns a message into the traits of its places. It is for one goroutine.
type extractor struct {
	book    *phrasebook
	columns map[uint64]int32
	grow    bool // number traits that are new
	found   []int32
	places  []int32        // where the traits of each token begin in found; one more at the end
	index   map[string]int // of names, while training
	names   []string       // of the tokens, as traits see them
	hits    [][]hit        // known phrases at each token
	own     map[string]wordUse
	intent  string
}

func (x *extractor) rows(i int) []int32 { return x.found[x.places[i]:x.places[i+1]] }

// trait names. Each begins the hash of its traits.
const (
	bias = iota + 1
	wordAt
	wordPair
	wordTriple
	prefix
	suffix
	shape
	phraseAt
	phraseNear
	wordUsed
	intentOf
	position
)

type hasher uint64

func hash(kind, at int) hasher {
	return hasher(14695981039346656037).byte(byte(kind)).byte(byte(at + 8))
}

// byte is one step of FNV-1a over 64 bits (draft-eastlake-fnv, section 4).
func (h hasher) byte(b byte) hasher { return (h ^ hasher(b)) * 1099511628211 }

func (h hasher) text(s string) hasher {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h.byte(0xFF)
}

func (x *extractor) add(h hasher) {
	col, ok := x.columns[uint64(h)]
	if !ok {
		if !x.grow {
			return
		}
		col = int32(len(x.columns))
		x.columns[uint64(h)] = col
	}
	x.found = append(x.found, col)
}

// both adds a trait alone and together with the intent.
func (x *extractor) both(h hasher) {
	x.add(h)
	x.add(h.text(x.intent))
}

// read finds the traits of a message. e is the message itself if it is one of the examples: what only it taught the
// phrasebook does not count then, since a new message has nothing like it.
func (x *extractor) read(ts []text.Token, intent string, e *Example) {
	x.found, x.places, x.names, x.intent = x.found[:0], x.places[:0], x.names[:0], intent
	x.own = nil
	var own []Span
	if e != nil {
		own, x.own = e.Spans, uses([]Example{*e}, x.index)
	}
	for len(x.hits) < len(ts) {
		x.hits = append(x.hits, nil)
	}
	for i, t := range ts {
		x.hits[i] = x.hits[i][:0]
		if u, ok := x.book.words[t.Text]; ok && u.total() >= leastUses {
			x.names = append(x.names, digits(t.Text))
		} else {
			x.names = append(x.names, rare)
		}
	}
	for _, h := range x.book.hits(ts, own, x.index) {
		for i := h.from; i < h.to; i++ {
			x.hits[i] = append(x.hits[i], h)
		}
	}
	for i := range ts {
		x.places = append(x.places, int32(len(x.found)))
		x.window(i)
		x.form(ts[i].Text)
		x.known(ts, i)
	}
	x.places = append(x.places, int32(len(x.found)))
}

// Stand-ins for words.
const (
	before = "\x00" // of the first token
	behind = "\x01" // the last token
	rare   = "\x02" // any word that fewer messages have than a word must be in to be known
)

// leastUses is from how many uses in the examples on a word is known.
const leastUses = 2

// at gives the word of a place as traits see it.
func (x *extractor) at(i int) string {
	switch {
	case i < 0:
		return before
	case i >= len(x.names):
		return behind
	}
	return x.names[i]
}

func (x *extractor) window(i int) {
	x.both(hash(bias, 0))
	for d := -3; d <= 3; d++ {
		h := hash(wordAt, d).text(x.at(i + d))
		if d >= -2 && d <= 2 {
			x.both(h)
		} else {
			x.add(h)
		}
	}
	for d := -2; d <= 1; d++ {
		x.both(hash(wordPair, d).text(x.at(i + d)).text(x.at(i + d + 1)))
	}
	x.add(hash(wordPair, 4).text(x.at(i - 1)).text(x.at(i + 1)))
	for d := -2; d <= 0; d++ {
		x.add(hash(wordTriple, d).text(x.at(i + d)).text(x.at(i + d + 1)).text(x.at(i + d + 2)))
	}
	if i == 0 || i == len(x.names)-1 {
		x.add(hash(position, min(i, 1)))
	}
}

func (x *extractor) form(w string) {
	for n := 1; n <= 4 && n < len(w); n++ {
		x.add(hash(prefix, n).text(w[:n]))
		x.add(hash(suffix, n).text(w[len(w)-n:]))
	}
	x.add(hash(shape, 0).text(shaped(w)))
}

// known adds what the phrasebook says of a place.
func (x *extractor) known(ts []text.Token, i int) {
	for _, h := range x.hits[i] {
		part, last := 1, byte(0)
		if i == h.from {
			part = 0
		}
		if i == h.to-1 {
			last = 1
		}
		x.both(hash(phraseAt, part).byte(h.name))
		x.add(hash(phraseAt, 2+part).byte(h.name).byte(byte(min(h.to-h.from, 4))).byte(last))
		x.add(hash(phraseAt, 4+part).byte(h.name).text(x.at(h.from - 1)))
	}
	if i+1 < len(ts) {
		for _, h := range x.hits[i+1] {
			if h.from == i+1 {
				x.add(hash(phraseNear, 1).byte(h.name))
			}
		}
	}
	if i > 0 {
		for _, h := range x.hits[i-1] {
			if h.to == i {
				x.add(hash(phraseNear, -1).byte(h.name))
			}
		}
	}
	x.used(ts, i)
}

// used adds in which spans the words at and around a place stand in the other examples.
func (x *extractor) used(ts []text.Token, i int) {
	for d := -1; d <= 1; d++ {
		if i+d < 0 || i+d >= len(ts) {
			continue
		}
		use := x.book.words[ts[i+d].Text]
		own := x.own[ts[i+d].Text]
		total := use.total() - own.total()
		if total <= 0 {
			x.add(hash(wordUsed, d))
			continue
		}
		for _, c := range use.inside {
			if n := c.count - own.of(c.name); n > 0 {
				x.add(hash(wordUsed, d).byte(c.name).byte(bucket(n, total)))
			}
		}
		x.add(hash(wordUsed, d+4).byte(bucket(use.outside-own.outside, total)))
	}
}

func bucket(part, total int32) byte {
	switch share := float64(part) / float64(total); {
	case share == 0:
		return 0
	case share < 0.1:
		return 1
	case share < 0.5:
		return 2
	case share < 0.9:
		return 3
	}
	return 4
}

// shaped writes a word by the kinds of its letters: "8pm" is 0a.
func shaped(w string) string {
	var b strings.Builder
	var prev byte
	for _, r := range w {
		c := byte('a')
		switch {
		case r >= '0' && r <= '9':
			c = '0'
			b.WriteByte(c)
			prev = c
			continue
		case text.IsHan(r):
			c = 'h'
		case r > 0x7F:
			c = 'u'
		case r < 'a' || r > 'z':
			c = '.'
		}
		if c != prev {
			b.WriteByte(c)
		}
		prev = c
	}
	return b.String()
}

// digits writes every digit as 0.
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
