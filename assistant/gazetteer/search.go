package gazetteer

import (
	"unicode/utf8"

	"github.com/skein-mesh/skein/assistant/text"
)

// search goes through one message.
type search struct {
	m      *Matcher
	runes  []rune
	bytes  []int  // where each rune begins; one more at the end
	ends   []bool // whether a word of the message ends before the rune; one more at the end
	starts []int  // runes at which a word of the message begins
	steps  int    // that are left
	errors int
	found  []Match
	path   [maxRunes + 1]place
}

func (s *search) read(m *text.Message) {
	s.runes = make([]rune, 0, len(m.Folded))
	for i, r := range m.Folded {
		s.runes, s.bytes = append(s.runes, r), append(s.bytes, i)
	}
	s.bytes = append(s.bytes, len(m.Folded))
	s.ends = make([]bool, len(s.runes)+1)
	at := 0
	for _, t := range m.Tokens {
		for s.bytes[at] < t.Start {
			at++
		}
		s.starts = append(s.starts, at)
		for s.bytes[at] < t.End {
			at++
		}
		s.ends[at] = true
	}
}

// row is a row of the table of distances: the errors between a path of the trie and each beginning of the message
// from a place on, within the band that the most errors allow. Places outside the band have too many.
type row [2*MaxErrors + 1]int

const tooMany = MaxErrors + 1

// place is where a search is: a path of the trie ends at node, its row is here, the one before it and its last rune
// are there to see letters that changed places.
type place struct {
	node      int
	here, was row
	last      rune
}

// from looks for words that begin at a rune of the message.
func (s *search) from(start int) {
	p := &s.path[0]
	*p = place{}
	for i := range p.here {
		p.here[i], p.was[i] = tooMany, tooMany
		if i >= MaxErrors {
			p.here[i] = i - MaxErrors
		}
	}
	s.walk(start, 0)
}

// walk goes down the trie as long as any beginning of the message is near enough. The depth is at most that of the
// longest word.
func (s *search) walk(start, depth int) {
	p := &s.path[depth]
	n := &s.m.nodes[p.node]
	if n.value != 0 {
		s.match(start, p, n)
	}
	allowed := min(s.errors, n.runes/runesPerError)
	for _, e := range n.next {
		if depth == 0 && !s.begins(start, e.r) {
			continue
		}
		if s.steps--; s.steps < 0 {
			s.errors = 0 // the rest of the message is compared letter by letter
		}
		next := &s.path[depth+1]
		next.node, next.was, next.last = e.to, p.here, e.r
		if s.step(start, p, next, depth+1) <= min(allowed, s.errors) {
			s.walk(start, depth+1)
		}
	}
}

// begins reports whether a word of the list that begins with r is compared: people get the first letter of a word
// right (Pollock and Zamora, "Automatic spelling correction in scientific and scholarly text", 1984), or exchange it
// with the second. A Chinese word has no such letter.
func (s *search) begins(start int, r rune) bool {
	return s.runes[start] == r || start+1 < len(s.runes) && s.runes[start+1] == r || text.IsHan(r)
}

// step fills in the row of a longer path and gives its least errors. In the row of depth d, place i is the beginning
// of the message with d + i - MaxErrors runes.
func (s *search) step(start int, p, next *place, depth int) int {
	least := tooMany
	for i := range next.here {
		next.here[i] = tooMany
		at := depth + i - MaxErrors
		if at < 0 || start+at > len(s.runes) {
			continue
		}
		errors := tooMany
		if at > 0 {
			cost := 1
			if s.runes[start+at-1] == next.last {
				cost = 0
			}
			errors = min(errors, p.here[i]+cost)
			if at > 1 && depth > 1 && s.runes[start+at-1] == p.last && s.runes[start+at-2] == next.last {
				errors = min(errors, p.was[i]+1)
			}
		}
		if i+1 < len(p.here) {
			errors = min(errors, p.here[i+1]+1) // a rune of the list is missing in the message
		}
		if i > 0 {
			errors = min(errors, next.here[i-1]+1) // the message has a rune more
		}
		next.here[i] = errors
		least = min(least, errors)
	}
	return least
}

// match notes the best end of a word of the list in the message.
func (s *search) match(start int, p *place, n *node) {
	allowed := min(s.errors, n.depth/runesPerError)
	best, end := tooMany, 0
	for i, errors := range p.here {
		at := start + n.depth + i - MaxErrors
		if at > start && at <= len(s.runes) && s.ends[at] && errors <= allowed && errors < best {
			best, end = errors, at
		}
	}
	if best <= allowed && s.sound(start, best) {
		s.found = append(s.found, Match{Start: s.bytes[start], End: s.bytes[end], Value: n.value - 1, Errors: best})
	}
}

// sound reports whether a match may have its errors: in a number every digit counts.
func (s *search) sound(start, errors int) bool {
	return errors == 0 || !utf8.ValidRune(s.runes[start]) || s.runes[start] < '0' || s.runes[start] > '9'
}
