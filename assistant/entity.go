package assistant

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// entity is a kind of thing that a message can mention, found by a regular expression or in a list.
type entity struct {
	name      string
	order     int
	re        *regexp.Regexp
	group     int    // submatch that is the value; 0: the whole match
	normalize string // "", "upper", "lower"
	when      *expr
	starts    map[rune][]synonym // by first rune of the folded word, longest first
	names     map[string]map[string]string
}

type synonym struct {
	word  string
	value string
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
		ent := &entity{name: e.key, order: i, starts: map[rune][]synonym{}, names: map[string]map[string]string{}}
		def.entities = append(def.entities, ent)
		if s, ok := scalar(e.val); ok {
			d.fault(e.val, "%s: %q is not yet supported by this version; want regex or list", what, s)
			continue
		}
		d.object(e.val, what, append([]field{
			{"regex", func(n ast.Node) { d.regex(n, what, ent) }},
			{"normalize", func(n ast.Node) { ent.normalize = d.choice(n, what+": normalize", "upper", "lower") }},
			{"list", func(n ast.Node) { d.synonyms(n, what, ent) }},
			{"when", func(n ast.Node) { ent.when = d.expr(n, what+": when", []string{"asked", "intent", "flow"}) }},
		}, later("fuzzy", "learn", "roles")...)...)
		if ent.re == nil && len(ent.starts) == 0 {
			d.fault(e.at, "%s: neither regex nor list", what)
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
	count := 0
	for _, v := range d.entries(n, what+": list") {
		ent.names[v.key] = map[string]string{}
		for _, l := range d.entries(v.val, what+": "+v.key) {
			for i, w := range d.list(l.val, what+": "+v.key) {
				word := lower(clean(w))
				if count++; word == "" || len(word) > maxExample || count > maxSynonyms {
					d.fault(l.val, "%s: %s: an empty or too long synonym, or more than %d", what, v.key, maxSynonyms)
					return
				}
				if i == 0 {
					ent.names[v.key][l.key] = w
				}
				first, _ := utf8.DecodeRuneInString(word)
				ent.starts[first] = append(ent.starts[first], synonym{word: word, value: v.key})
			}
		}
	}
	for _, s := range ent.starts {
		slices.SortStableFunc(s, func(a, b synonym) int { return cmp.Compare(len(b.word), len(a.word)) })
	}
}

// find gives every mention in a message; folded is cleaned in lower case, byte for byte as long.
func (def *definition) find(cleaned, folded string) []mention {
	var found []mention
	for _, e := range def.entities {
		if e.re != nil {
			found = e.matches(cleaned, found)
		}
		if len(e.starts) > 0 {
			found = e.listed(folded, found)
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

func (e *entity) listed(s string, found []mention) []mention {
	prev, next := rune(' '), 0
	for i, r := range s {
		before := prev
		prev = r
		if i < next {
			continue
		}
		for _, w := range e.starts[r] {
			if !strings.HasPrefix(s[i:], w.word) || !bordered(before, r, s[i+len(w.word):], w.word) {
				continue
			}
			next = i + len(w.word)
			found = append(found, mention{entity: e, value: w.value, start: i, end: next})
			break
		}
	}
	return found
}

// bordered reports whether a word of a list stands alone; Chinese needs no border.
func bordered(before, first rune, after, word string) bool {
	last, _ := utf8.DecodeLastRuneInString(word)
	following, n := utf8.DecodeRuneInString(after)
	return !(wordRune(first) && wordRune(before)) && !(n > 0 && wordRune(last) && wordRune(following))
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
