package assistant

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/skein-mesh/skein/assistant/retrieval"
	words "github.com/skein-mesh/skein/assistant/text"
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

// newLibrary indexes the questions of the FAQ.
func newLibrary(def *definition) *retrieval.Index {
	entries := make([]retrieval.Entry, len(def.faq))
	for i, f := range def.faq {
		for _, q := range f.questions {
			entries[i].Questions = append(entries[i].Questions, def.masked(q))
		}
	}
	return retrieval.New(entries)
}

// find gives the entry of the FAQ that is nearest to a message, -1 when none has anything of it, and its score, 0 to 1.
func (a *Assistant) find(ts []words.Token) (int, float64) {
	hits := a.library.Find(ts, 1)
	if len(hits) == 0 {
		return -1, 0
	}
	return hits[0].Entry, hits[0].Score
}
