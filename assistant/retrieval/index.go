package retrieval

import (
	"cmp"
	"slices"
	"sync"

	"github.com/skein-mesh/skein/assistant/text"
)

// Entry is what can be found.
type Entry struct {
	// Questions are what the entry answers: a question and its stored paraphrases. There need not be any.
	Questions [][]text.Token
	// Body is the answer, or a passage.
	Body []text.Token
	// Title is that of a passage. Its words count as often as titleWeight says.
	Title []text.Token
}

// Hit is an entry that was found.
type Hit struct {
	// Entry is its place in what New was given.
	Entry int
	// Score is how much of the message the entry has: 0 nothing, 1 all of it.
	Score float64

	rank float64
}

// Settings of the fields. The lengths of questions vary little and matter much; those of bodies the other way round.
const (
	questionLength = 0.95 // b
	bodyLength     = 0.75
	titleWeight    = 2
	// nextShare is what each further paraphrase adds, of what the one before it did.
	nextShare = 0.5
	// wholeShare is how much the questions of an entry taken together count beside the best of them.
	wholeShare = 0.35
	// bodyShare is how much a body counts beside questions.
	bodyShare = 0.3
)

// Index finds entries.
type Index struct {
	questions *field
	bodies    *field
	entries   int
	scratch   sync.Pool // of *search
}

// New indexes entries.
func New(entries []Entry) *Index {
	x := &Index{questions: newField(questionLength, len(entries)), bodies: newField(bodyLength, len(entries)), entries: len(entries)}
	var ts []term
	for i, e := range entries {
		for _, q := range e.Questions {
			ts = terms(q, ts)
			x.questions.add(i, ts)
		}
		if len(e.Body)+len(e.Title) > 0 {
			ts = terms(append(repeat(e.Title, titleWeight), e.Body...), ts)
			x.bodies.add(i, ts)
		}
	}
	x.questions.finish()
	x.bodies.finish()
	x.scratch.New = func() any {
		return &search{
			questions: tally{scores: make([]float64, len(x.questions.units)), whole: make([]float64, len(entries))},
			bodies:    tally{scores: make([]float64, len(x.bodies.units)), whole: make([]float64, len(entries))},
		}
	}
	return x
}

func repeat(ts []text.Token, n int) []text.Token {
	out := make([]text.Token, 0, n*len(ts))
	for range n {
		out = append(out, ts...)
	}
	return out
}

// search is the space of one query.
type search struct {
	terms     []term
	questions tally
	bodies    tally
	several   []float64
	hits      []Hit
}

// Find gives the n best entries, the best first; fewer when fewer share anything with the message.
func (x *Index) Find(message []text.Token, n int) []Hit {
	s := x.scratch.Get().(*search)
	defer x.scratch.Put(s)
	s.terms = terms(message, s.terms)
	s.questions.count(x.questions, s.terms)
	s.bodies.count(x.bodies, s.terms)
	s.hits = s.hits[:0]
	unit, body := 0, 0
	for e := range x.entries {
		h := Hit{Entry: e}
		s.several = s.several[:0]
		for ; unit < len(x.questions.units) && int(x.questions.units[unit].entry) == e; unit++ {
			if v := s.questions.scores[unit]; v > 0 {
				s.several = append(s.several, v)
			}
		}
		h.question(s, e)
		for ; body < len(x.bodies.units) && int(x.bodies.units[body].entry) == e; body++ {
			h.rank += bodyShare * s.bodies.scores[body]
			h.Score = max(h.Score, s.bodies.cover(e))
		}
		if h.rank > 0 {
			s.hits = append(s.hits, h)
		}
	}
	slices.SortFunc(s.hits, func(a, b Hit) int { return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.Entry, b.Entry)) })
	return slices.Clone(s.hits[:max(0, min(n, len(s.hits)))])
}

// question takes in the scores of an entry's questions.
func (h *Hit) question(s *search, entry int) {
	if len(s.several) == 0 {
		return
	}
	slices.Sort(s.several)
	share := 1.0
	for _, v := range slices.Backward(s.several) {
		h.rank += share * v
		share *= nextShare
	}
	h.rank += wholeShare * s.questions.whole[entry]
	best := min(s.several[len(s.several)-1], s.questions.highest)
	h.Score = ((1-wholeShare)*best + wholeShare*s.questions.whole[entry]) / s.questions.highest
}
