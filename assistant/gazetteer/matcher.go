package gazetteer

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/skein-mesh/skein/assistant/text"
)

// Word is a word (or several) of the list, and what it stands for.
type Word struct {
	Text  string
	Value int
}

// Match is a word of the list in a message.
type Match struct {
	Start, End int // bytes of text.Message.Plain
	Value      int
	Errors     int // edits between the message and the list
}

// Limits of a list and of a search.
const (
	MaxWords  = 50_000
	MaxErrors = 2
	maxRunes  = 64     // of a word
	maxSteps  = 50_000 // of the trie, for one message
)

// runesPerError is how many runes a word must have for each error that is let pass: short words that differ by a
// letter are other words.
const runesPerError = 4

// Matcher finds the words of a list.
type Matcher struct {
	nodes  []node
	errors int
}

// node is a place in the trie; node 0 is its root.
type node struct {
	next  []edge // by rune
	value int    // of the word that ends here, + 1; 0: none does
	runes int    // of the longest word below
	depth int
}

type edge struct {
	r  rune
	to int
}

// New makes a matcher that lets at most errors errors pass in a word, and fewer in short ones. Of equal words the
// first counts. It fails when the list is beyond the limits, or a word has no letter.
func New(words []Word, errors int) (*Matcher, error) {
	if errors < 0 || errors > MaxErrors || len(words) > MaxWords {
		return nil, fmt.Errorf("list of %d words with %d errors: at most %d and %d", len(words), errors, MaxWords, MaxErrors)
	}
	m := &Matcher{nodes: make([]node, 1), errors: errors}
	for _, w := range words {
		read := text.Read(w.Text, 0)
		if n := utf8.RuneCountInString(read.Folded); len(read.Tokens) == 0 || n > maxRunes {
			return nil, fmt.Errorf("word %.40q of a list: want a letter, and at most %d runes", w.Text, maxRunes)
		}
		m.add([]rune(read.Folded), w.Value)
	}
	return m, nil
}

func (m *Matcher) add(word []rune, value int) {
	at := 0
	for i, r := range word {
		m.nodes[at].runes = max(m.nodes[at].runes, len(word))
		k, ok := slices.BinarySearchFunc(m.nodes[at].next, r, func(e edge, r rune) int { return cmp.Compare(e.r, r) })
		if !ok {
			m.nodes = append(m.nodes, node{depth: i + 1})
			m.nodes[at].next = slices.Insert(m.nodes[at].next, k, edge{r, len(m.nodes) - 1})
		}
		at = m.nodes[at].next[k].to
	}
	n := &m.nodes[at]
	n.runes = max(n.runes, len(word))
	if n.value == 0 {
		n.value = value + 1
	}
}

// Find gives the words of the list that a message has, ordered. Where several overlap, the one with the fewest errors
// for its length stays.
func (m *Matcher) Find(message *text.Message) []Match {
	s := search{m: m, steps: maxSteps, errors: m.errors}
	s.read(message)
	for _, from := range s.starts {
		s.from(from)
	}
	return resolve(s.found)
}

func resolve(all []Match) []Match {
	slices.SortFunc(all, func(a, b Match) int {
		// An error is worth the runes that a word needs for it.
		return cmp.Or(cmp.Compare(b.End-b.Start-runesPerError*b.Errors, a.End-a.Start-runesPerError*a.Errors),
			cmp.Compare(a.Errors, b.Errors), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Value, b.Value))
	})
	var kept []Match
	for _, m := range all {
		if !slices.ContainsFunc(kept, func(k Match) bool { return m.Start < k.End && k.Start < m.End }) {
			kept = append(kept, m)
		}
	}
	slices.SortFunc(kept, func(a, b Match) int { return cmp.Compare(a.Start, b.Start) })
	return kept
}
