package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxRunes is the most runes that Read keeps of a message, whatever the caller asks for.
const MaxRunes = 1 << 16

// Message is a message as it is understood. It is read-only.
type Message struct {
	// Plain is the normalised text, Folded the same in lower case, byte for byte as long.
	Plain, Folded string
	// Tokens are in the order of the text.
	Tokens []Token

	from, to []int32 // of each byte of Plain, the bytes of the original; nil: the same
}

// Read normalises a message and splits it into tokens. At most limit runes are kept; 0 or less means MaxRunes.
func Read(s string, limit int) *Message {
	if limit <= 0 || limit > MaxRunes {
		limit = MaxRunes
	}
	m := &Message{}
	if len(s) <= limit && tidy(s) {
		m.Plain = s
	} else {
		m.normalize(s, limit)
	}
	m.Folded = fold(m.Plain)
	m.Tokens = split(m.Folded)
	return m
}

// Span gives the bytes of the original from which the bytes from to to of Plain came. What was dropped between
// them belongs to the span; what was dropped around them does not.
func (m *Message) Span(from, to int) (start, end int) {
	switch {
	case from < 0 || to > len(m.Plain) || from >= to:
		return 0, 0
	case m.from == nil:
		return from, to
	}
	return int(m.from[from]), int(m.to[to-1])
}

// tidy reports whether normalising would change nothing: printable ASCII with single spaces inside.
func tidy(s string) bool {
	space := true
	for i := range len(s) {
		b := s[i]
		if b < ' ' || b > '~' || b == ' ' && space {
			return false
		}
		space = b == ' '
	}
	return len(s) == 0 || !space
}

// normalizer writes the normalised text with the places that it came from.
type normalizer struct {
	out      strings.Builder
	from, to []int32
	left     int // runes that still fit
	space    int // where a space that waits to be written began; -1: none
}

func (m *Message) normalize(s string, limit int) {
	n := normalizer{left: limit, space: -1}
	n.out.Grow(min(len(s), 4*limit))
	var it norm.Iter
	it.InitString(norm.NFKC, s)
	for !it.Done() && n.left > 0 {
		at := it.Pos()
		segment := it.Next()
		end := it.Pos()
		if end == at { // one rune that becomes several segments
			_, size := utf8.DecodeRuneInString(s[at:])
			end = at + size
		}
		n.segment(segment, at, end)
	}
	m.Plain, m.from, m.to = n.out.String(), n.from, n.to
}

func (n *normalizer) segment(segment []byte, at, end int) {
	for len(segment) > 0 && n.left > 0 {
		r, size := utf8.DecodeRune(segment)
		broken := r == utf8.RuneError && size < 2
		segment = segment[size:]
		switch {
		case broken || invisible(r):
		case unicode.IsSpace(r):
			if n.space < 0 && n.out.Len() > 0 {
				n.space = at
			}
		default:
			n.write(plain(r), at, end)
		}
	}
}

func (n *normalizer) write(r rune, at, end int) {
	if n.space >= 0 {
		if n.left < 2 {
			n.left = 0
			return
		}
		n.put(' ', n.space, n.space+1)
		n.space = -1
	}
	n.put(r, at, end)
}

func (n *normalizer) put(r rune, at, end int) {
	n.left--
	before := n.out.Len()
	n.out.WriteRune(r)
	for range n.out.Len() - before {
		n.from, n.to = append(n.from, int32(at)), append(n.to, int32(end))
	}
}

// invisible reports whether a rune shows nothing, so that it could hide words or split them.
func invisible(r rune) bool {
	if r < 0x80 {
		return (r < ' ' || r == 0x7F) && r != '\t' && r != '\n' && r != '\r' && r != '\v' && r != '\f'
	}
	switch {
	case r == 0x034F, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x3164, r == 0xFFA0, // fillers and joiners
		r >= 0x180B && r <= 0x180F, r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0000 && r <= 0xE0FFF: // selectors and tags
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Cc, unicode.Co, unicode.Cs) && !unicode.IsSpace(r)
}

// plain gives the usual form of a sign that is written in several.
func plain(r rune) rune {
	switch r {
	case '’', '‘', 'ʼ', '`', '´':
		return '\''
	case '“', '”':
		return '"'
	case '–', '—', '‐', '‒', '−':
		return '-'
	case '。':
		return '.'
	case '、':
		return ','
	}
	return r
}

// fold lowers case without moving a byte; a letter whose small form has another length stays.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if l := unicode.ToLower(r); utf8.RuneLen(l) == utf8.RuneLen(r) {
			return l
		}
		return r
	}, s)
}
