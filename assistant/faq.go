package assistant

import (
	"math"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// faqEntry is an answer with the questions that it answers.
type faqEntry struct {
	id        string
	questions []string
	answer    texts
}

func (d *decoder) knowledge(n ast.Node, def *definition) {
	ids := map[string]bool{}
	for _, source := range d.items(n, "knowledge") {
		d.object(source, "knowledge", append([]field{
			{"id", func(n ast.Node) { d.text(n, "knowledge: id") }},
			{"faq", func(n ast.Node) {
				if _, ok := scalar(n); ok {
					d.fault(n, "knowledge: a FAQ in a file of its own is not yet supported by this version; write its entries here")
					return
				}
				for _, item := range d.items(n, "faq") {
					d.faqEntry(item, def, ids)
				}
			}},
		}, later("files", "url", "columns", "chunk", "refresh", "allow_hosts")...)...)
	}
}

func (d *decoder) faqEntry(n ast.Node, def *definition, ids map[string]bool) {
	if len(def.faq) >= maxFAQ {
		d.fault(n, "faq: more than %d entries", maxFAQ)
		return
	}
	var f faqEntry
	d.object(n, "faq",
		field{"id", func(n ast.Node) {
			if f.id = d.text(n, "faq: id"); !validID(f.id) || ids[f.id] {
				d.fault(n, "faq: id %.40q is not a name, or is there twice", f.id)
			}
			ids[f.id] = true
		}},
		field{"q", func(n ast.Node) { f.questions = d.questions(n, def) }},
		field{"a", func(n ast.Node) { f.answer = d.texts(n, "faq: a", def, []string{"lang", "now"}) }})
	if f.id == "" || len(f.questions) == 0 || f.answer == nil {
		d.fault(n, "faq: an entry has an id, questions (q) and an answer (a)")
		return
	}
	def.faq = append(def.faq, f)
}

func (d *decoder) questions(n ast.Node, def *definition) []string {
	var out []string
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		for _, l := range d.entries(n, "faq: q") {
			if !slices.Contains(def.languages, l.key) {
				d.fault(l.at, "faq: q: %q is not one of the languages", l.key)
			}
			out = append(out, d.list(l.val, "faq: q")...)
		}
	default:
		out = d.list(n, "faq: q")
	}
	if len(out) > maxQuestions*2 {
		d.fault(n, "faq: more than %d questions of one entry", maxQuestions*2)
		return nil
	}
	for _, q := range out {
		if q == "" || len(q) > maxExample {
			d.fault(n, "faq: a question has 1 to %d bytes", maxExample)
		}
	}
	return out
}

func (def *definition) faqAt(id string) int {
	return slices.IndexFunc(def.faq, func(f faqEntry) bool { return f.id == id })
}

// library finds the entry whose questions are nearest to a message, by BM25 (Robertson and Zaragoza, The
// Probabilistic Relevance Framework, 2009, section 3.2) over words, Chinese characters and pairs of them. The
// score is divided by the highest that the message could reach, so it is 0 to 1.
type library struct {
	postings map[uint64][]posting
	idf      map[uint64]float64
	entries  []int // by document
	lengths  []float64
	average  float64
	whole    map[uint64][]int // entries that have a term in any of their questions
	most     float64          // idf of a term that no question has
}

type posting struct {
	doc    int
	weight float64
}

const (
	bm25K = 0.9
	bm25B = 0.35
	// wholeShare is how much the questions of an entry taken together count beside the best one of them.
	wholeShare = 0.35
)

func newLibrary(def *definition) *library {
	l := &library{postings: map[uint64][]posting{}, idf: map[uint64]float64{}, whole: map[uint64][]int{}}
	var total float64
	for i, f := range def.faq {
		for _, q := range f.questions {
			doc := len(l.entries)
			l.entries = append(l.entries, i)
			var length float64
			for _, t := range terms(def.masked(q)) {
				l.postings[t.hash] = append(l.postings[t.hash], posting{doc, float64(t.weight)})
				length += float64(t.weight)
				if w := l.whole[t.hash]; len(w) == 0 || w[len(w)-1] != i {
					l.whole[t.hash] = append(w, i)
				}
			}
			l.lengths = append(l.lengths, length)
			total += length
		}
	}
	n := float64(len(l.entries))
	l.average = total / max(n, 1)
	for h, p := range l.postings {
		l.idf[h] = idf(n, float64(len(p)))
	}
	l.most = idf(n, 0)
	return l
}

func idf(n, df float64) float64 { return math.Log(1 + (n-df+0.5)/(df+0.5)) }

// terms are the traits that retrieval compares: whole words, Chinese characters and their pairs.
func terms(ts []token) []feature {
	fs := make([]feature, 0, 2*len(ts))
	for i, t := range ts {
		w := float32(1)
		switch {
		case !t.entity && weak[t.text]:
			w = 0.15
		case t.han:
			w = 0.5
		}
		if t.han && i > 0 && ts[i-1].han {
			fs = append(fs, feature{uint64(newHash(hanPair).text(ts[i-1].text).text(t.text)), 1})
		}
		fs = append(fs, feature{uint64(newHash(wordUnit).text(stem(t.text))), w})
	}
	return merge(fs)
}

// find gives the best entry, -1 when nothing matches, and its score.
func (l *library) find(ts []token) (int, float64) {
	scores := make([]float64, len(l.entries))
	whole := make([]float64, l.count())
	var highest float64
	for _, t := range terms(ts) {
		w := float64(t.weight)
		known, ok := l.idf[t.hash]
		if !ok {
			highest += w * l.most
			continue
		}
		highest += w * known
		for _, p := range l.postings[t.hash] {
			tf := p.weight / w
			scores[p.doc] += w * known * tf * (1 + bm25K) / (tf + bm25K*(1-bm25B+bm25B*l.lengths[p.doc]/l.average))
		}
		for _, entry := range l.whole[t.hash] {
			whole[entry] += w * known
		}
	}
	best, most := -1, 0.0
	for doc, s := range scores {
		if s == 0 {
			continue
		}
		if s = (1-wholeShare)*min(s, highest) + wholeShare*whole[l.entries[doc]]; s > most {
			best, most = l.entries[doc], s
		}
	}
	if best < 0 {
		return -1, 0
	}
	return best, min(1, most/highest)
}

func (l *library) count() int {
	if len(l.entries) == 0 {
		return 0
	}
	return l.entries[len(l.entries)-1] + 1
}
