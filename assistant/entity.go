package assistant

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/skein-mesh/skein/assistant/gazetteer"
	words "github.com/skein-mesh/skein/assistant/text"
)

// entity is a kind of thing that a message can mention, found by a regular expression, in a list, or by what stands
// around it.
type entity struct {
	name      string
	order     int
	re        *regexp.Regexp
	group     int    // submatch that is the value; 0: the whole match
	normalize string // "", "upper", "lower"
	when      *expr
	list      *gazetteer.Matcher // nil: none
	values    []string           // of the words of the list
	fuzzy     int                // errors that a word of the list may have
	learn     bool               // also found by the tagger
	names     map[string]map[string]string
}

// mention is an entity found in a message, at bytes start to end of the cleaned text.
type mention struct {
	entity     *entity
	value      string
	start, end int
}

func (d *decoder) entities(n ast.Node, def *definition) {
	for i, e := range d.entries(n, "entities") {
		if i >= maxEntities {
			d.fault(e.at, "more than %d entities", maxEntities)
			return
		}
		what := "entity " + e.key
		ent := &entity{name: e.key, order: i, names: map[string]map[string]string{}}
		def.entities = append(def.entities, ent)
		if s, ok := scalar(e.val); ok {
			d.fault(e.val, "%s: %q is not yet supported by this version; want regex or list", what, s)
			continue
		}
		var list ast.Node
		d.object(e.val, what, append([]field{
			{"regex", func(n ast.Node) { d.regex(n, what, ent) }},
			{"normalize", func(n ast.Node) { ent.normalize = d.choice(n, what+": normalize", "upper", "lower") }},
			{"list", func(n ast.Node) { list = n }},
			{"fuzzy", func(n ast.Node) {
				if ent.fuzzy = d.integer(n, what+": fuzzy", 0); ent.fuzzy > gazetteer.MaxErrors {
					d.fault(n, "%s: fuzzy: want 0 to %d errors", what, gazetteer.MaxErrors)
				}
			}},
			{"when", func(n ast.Node) { ent.when = d.expr(n, what+": when", []string{"asked", "intent", "flow"}) }},
			{"learn", func(n ast.Node) { ent.learn = d.boolean(n, what+": learn") }},
		}, later("roles")...)...)
		if list != nil {
			d.synonyms(list, what, ent)
		}
		if ent.re == nil && list == nil && !ent.learn {
			d.fault(e.at, "%s: neither regex nor list nor learn", what)
		}
	}
}

func (d *decoder) regex(n ast.Node, what string, ent *entity) {
	src := d.text(n, what+": regex")
	if len(src) > maxRegex {
		d.fault(n, "%s: regex of %d bytes, at most %d", what, len(src), maxRegex)
		return
	}
	re, err := regexp.Compile(src)
	switch {
	case err != nil:
		d.fault(n, "%s: %v", what, err)
	case re.MatchString(""):
		d.fault(n, "%s: the regex matches the empty text", what)
	default:
		ent.re, ent.group = re, max(0, re.SubexpIndex("value"))
	}
}

func (d *decoder) synonyms(n ast.Node, what string, ent *entity) {
	var list []gazetteer.Word
	for _, v := range d.entries(n, what+": list") {
		ent.names[v.key] = map[string]string{}
		ent.values = append(ent.values, v.key)
		for _, l := range d.entries(v.val, what+": "+v.key) {
			for i, w := range d.list(l.val, what+": "+v.key) {
				if len(list) >= maxSynonyms {
					d.fault(l.val, "%s: %s: more than %d synonyms", what, v.key, maxSynonyms)
					return
				}
				word := gazetteer.Word{Text: w, Value: len(ent.values) - 1}
				if _, err := gazetteer.New([]gazetteer.Word{word}, 0); err != nil {
					d.fault(l.val, "%s: %s: %v", what, v.key, err)
					return
				}
				if i == 0 {
					ent.names[v.key][l.key] = w
				}
				list = append(list, word)
			}
		}
	}
	var err error
	if ent.list, err = gazetteer.New(list, min(ent.fuzzy, gazetteer.MaxErrors)); err != nil {
		d.fault(n, "%s: %v", what, err)
	}
}

// find gives every mention in a message.
func (def *definition) find(m *words.Message) []mention {
	var found []mention
	for _, e := range def.entities {
		if e.re != nil {
			found = e.matches(m.Plain, found)
		}
		if e.list != nil {
			for _, w := range e.list.Find(m) {
				found = append(found, mention{entity: e, value: e.values[w.Value], start: w.Start, end: w.End})
			}
		}
	}
	return found
}

func (e *entity) matches(s string, found []mention) []mention {
	for _, loc := range e.re.FindAllStringSubmatchIndex(s, 8) {
		from, to := loc[2*e.group], loc[2*e.group+1]
		if from < 0 {
			continue
		}
		v := s[from:to]
		switch e.normalize {
		case "upper":
			v = strings.ToUpper(v)
		case "lower":
			v = strings.ToLower(v)
		}
		found = append(found, mention{entity: e, value: v, start: loc[0], end: loc[1]})
	}
	return found
}

// resolve drops mentions that overlap a longer one; of equally long ones that of the asked entity stays, then
// the one defined first. The result is ordered by place.
func resolve(all []mention, asked string) []mention {
	if len(all) < 2 {
		return all
	}
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b mention) int {
		if c := cmp.Compare(b.end-b.start, a.end-a.start); c != 0 {
			return c
		}
		if a.entity.name != b.entity.name && (a.entity.name == asked || b.entity.name == asked) {
			if a.entity.name == asked {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.entity.order, b.entity.order))
	})
	kept := ranked[:0]
	for _, m := range ranked {
		if !slices.ContainsFunc(kept, func(k mention) bool { return m.start < k.end && k.start < m.end }) {
			kept = append(kept, m)
		}
	}
	slices.SortFunc(kept, func(a, b mention) int { return cmp.Compare(a.start, b.start) })
	return kept
}

// display gives the first synonym of a list's value in a language, the value itself when there is none.
func (a *Assistant) display(v, lang string) string {
	for _, e := range a.def.entities {
		if names, ok := e.names[v]; ok {
			return cmp.Or(names[lang], names[a.def.fallback], v)
		}
	}
	return v
}
