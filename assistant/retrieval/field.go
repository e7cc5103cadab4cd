package retrieval

import "math"

// k1 is how fast a term that is there again counts less (Robertson and Zaragoza, The Probabilistic Relevance
// Framework: BM25 and Beyond, 2009, section 3.2).
const k1 = 1.2

// field is an inverted index over one kind of text. A unit is a text of an entry; an entry may have several.
type field struct {
	b        float64 // how much the length of a unit counts against it
	postings map[uint64]*postings
	units    []unit
	average  float64 // length
	entries  float64
	most     float64 // idf of a term that no entry has
}

type unit struct {
	entry  int32
	length float64
}

type postings struct {
	idf     float64
	entries float64
	last    int32 // entry that was counted last
	list    []posting
}

type posting struct {
	unit  int32
	count float32
}

func newField(b float64, entries int) *field {
	return &field{b: b, postings: map[uint64]*postings{}, entries: float64(entries)}
}

func (f *field) add(entry int, ts []term) {
	u := unit{entry: int32(entry)}
	for _, t := range ts {
		u.length += float64(t.count * t.weight)
		p := f.postings[t.hash]
		if p == nil {
			p = &postings{last: -1}
			f.postings[t.hash] = p
		}
		if p.last != int32(entry) {
			p.entries, p.last = p.entries+1, int32(entry)
		}
		p.list = append(p.list, posting{int32(len(f.units)), t.count})
	}
	f.average += u.length
	f.units = append(f.units, u)
}

func (f *field) finish() {
	f.average /= max(1, float64(len(f.units)))
	for _, p := range f.postings {
		p.idf = f.idf(p.entries)
	}
	f.most = f.idf(0)
}

func (f *field) idf(entries float64) float64 {
	return math.Log(1 + (f.entries-entries+0.5)/(entries+0.5))
}

// tally holds what a message scores in a field.
type tally struct {
	scores  []float64 // by unit
	whole   []float64 // by entry: the terms that any of its units has
	highest float64   // what whole could be
}

func (t *tally) count(f *field, ts []term) {
	clear(t.scores)
	clear(t.whole)
	t.highest = 0
	for _, q := range ts {
		w := float64(q.weight)
		p := f.postings[q.hash]
		if p == nil {
			t.highest += w * f.most
			continue
		}
		w *= p.idf
		t.highest += w
		last := int32(-1)
		for _, at := range p.list {
			u := f.units[at.unit]
			tf := float64(at.count)
			t.scores[at.unit] += w * tf * (1 + k1) / (tf + k1*(1-f.b+f.b*u.length/f.average))
			if u.entry != last {
				last = u.entry
				t.whole[last] += w
			}
		}
	}
}

// cover is the share of the message that an entry has.
func (t *tally) cover(entry int) float64 {
	if t.highest == 0 {
		return 0
	}
	return t.whole[entry] / t.highest
}
