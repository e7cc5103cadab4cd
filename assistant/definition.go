package assistant

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// definition is one file, decoded and checked. It is read-only.
type definition struct {
	id           string
	version      int
	languages    []string
	fallback     string // the default language
	zone         *time.Location
	instructions texts

	entities []*entity
	slots    map[string]*slot
	slotList []*slot
	tools    map[string]*tool
	intents  []intent
	marked   []marked // the examples of all intents
	flows    []*flow
	faq      []faqEntry
	sorry    texts
	cancel   texts
	model    modelSettings
	tests    []dialogue
}

type modelSettings struct {
	temperature float64
	maxTokens   int
}

// texts is what may be said: per language, any of several templates.
type texts map[string][]*template

var topLevel = []string{"assistant", "entities", "slots", "tools", "intents", "flows", "knowledge", "patterns", "model", "tests"}

var topLevelLater = []string{"migrate", "retrieval", "tasks", "deploy", "guardrails", "catalogue", "recommend"}

// definition reads the whole file. Sections are read in the order in which they refer to each other, whatever
// their order in the file.
func (d *decoder) definition(root ast.Node) *definition {
	def := &definition{slots: map[string]*slot{}, tools: map[string]*tool{}, zone: time.UTC, version: 1}
	sections := map[string]ast.Node{}
	fields := later(topLevelLater...)
	for _, name := range topLevel {
		fields = append(fields, field{name, func(n ast.Node) { sections[name] = n }})
	}
	d.object(root, "definition", fields...)
	readers := map[string]func(ast.Node, *definition){
		"assistant": d.about, "entities": d.entities, "slots": d.slots, "tools": d.tools, "intents": d.intents,
		"flows": d.flows, "knowledge": d.knowledge, "patterns": d.patterns, "model": d.model, "tests": d.tests,
	}
	if sections["assistant"] == nil {
		d.fault(root, "the section assistant is missing: it needs an id and languages")
		def.languages, def.fallback = []string{english, chinese}, english
	}
	for _, name := range topLevel {
		if n := sections[name]; n != nil {
			readers[name](n, def)
		}
	}
	d.finish(def)
	return def
}

func (d *decoder) about(n ast.Node, def *definition) {
	var instructions ast.Node
	d.object(n, "assistant", append([]field{
		{"id", func(n ast.Node) {
			if def.id = d.text(n, "id"); !validID(def.id) {
				d.fault(n, "id %.40q: want 1 to 64 small letters, digits, '-' or '_'", def.id)
			}
		}},
		{"version", func(n ast.Node) { def.version = d.integer(n, "version", 1) }},
		{"languages", func(n ast.Node) { d.languages(n, def) }},
		{"default_language", func(n ast.Node) { def.fallback = d.text(n, "default_language") }},
		{"timezone", func(n ast.Node) { d.timezone(n, def) }},
		{"instructions", func(n ast.Node) { instructions = n }},
	}, later("description", "avatar")...)...)
	if def.id == "" {
		d.fault(n, "assistant: the id is missing")
	}
	if len(def.languages) == 0 {
		def.languages = []string{english, chinese}
	}
	if def.fallback == "" {
		def.fallback = def.languages[0]
	}
	if !slices.Contains(def.languages, def.fallback) {
		d.fault(n, "default_language %.20q is not one of languages", def.fallback)
	}
	if instructions != nil {
		def.instructions = d.texts(instructions, "instructions", def, []string{"lang", "now"})
	}
}

func (d *decoder) languages(n ast.Node, def *definition) {
	for _, l := range d.list(n, "languages") {
		switch {
		case l != english && l != chinese:
			d.fault(n, "language %.20q is not yet supported by this version; want en, zh", l)
		case slices.Contains(def.languages, l):
			d.fault(n, "language %q is there twice", l)
		default:
			def.languages = append(def.languages, l)
		}
	}
}

func (d *decoder) timezone(n ast.Node, def *definition) {
	zone, err := time.LoadLocation(d.text(n, "timezone"))
	if err != nil {
		d.fault(n, "timezone: %v", err)
		return
	}
	def.zone = zone
}

func validID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}

// choice reads one of several words.
func (d *decoder) choice(n ast.Node, what string, words ...string) string {
	s := d.text(n, what)
	if !slices.Contains(words, s) {
		d.fault(n, "%s: %.40q is not supported by this version; want %s", what, s, strings.Join(words, ", "))
		return words[0]
	}
	return s
}

// texts reads what may be said: a text or a list for all languages, or either one per language.
func (d *decoder) texts(n ast.Node, what string, def *definition, roots []string) texts {
	t := texts{}
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		for _, e := range d.entries(n, what) {
			if !slices.Contains(def.languages, e.key) {
				d.fault(e.at, "%s: %q is not one of the languages %s", what, e.key, strings.Join(def.languages, ", "))
				continue
			}
			t[e.key] = d.templates(e.val, what, def, roots)
		}
	default:
		all := d.templates(n, what, def, roots)
		for _, l := range def.languages {
			t[l] = all
		}
	}
	if len(t[def.fallback]) == 0 {
		d.fault(n, "%s: no text in the default language %s", what, def.fallback)
	}
	return t
}

func (d *decoder) templates(n ast.Node, what string, def *definition, roots []string) []*template {
	var out []*template
	for _, s := range d.list(n, what) {
		if tpl := d.template(n, s, what, def, roots); tpl != nil {
			out = append(out, tpl)
		}
	}
	return out
}

func (d *decoder) template(n ast.Node, src, what string, def *definition, roots []string) *template {
	t, err := parseTemplate(src)
	if err != nil {
		d.fault(n, "%s: %v", what, err)
		return nil
	}
	t.exprs(func(e *expr) { d.checkPaths(n, what, e, def, roots) })
	return t
}

// flowRoots is what an expression inside a flow may begin with.
var flowRoots = []string{"slots", "result", "intent", "lang", "now", "session"}

// checkedExpr reads an expression of a flow.
func (d *decoder) checkedExpr(n ast.Node, what string, def *definition) *expr {
	e := d.expr(n, what, nil)
	if e != nil {
		d.checkPaths(n, what, e, def, flowRoots)
	}
	return e
}

// expr reads an expression; with roots, its paths must begin with one of them.
func (d *decoder) expr(n ast.Node, what string, roots []string) *expr {
	e, err := parseExpr(d.text(n, what))
	if err != nil {
		d.fault(n, "%s: %v", what, err)
		return nil
	}
	if roots != nil {
		d.checkPaths(n, what, e, nil, roots)
	}
	return e
}

func (d *decoder) checkPaths(n ast.Node, what string, e *expr, def *definition, roots []string) {
	e.paths(func(path []string) {
		if !slices.Contains(roots, path[0]) {
			d.fault(n, "%s: unknown name %q; known are %s", what, path[0], strings.Join(roots, ", "))
			return
		}
		if path[0] != "slots" {
			return
		}
		if len(path) < 2 {
			d.fault(n, "%s: slots needs the name of a slot behind it", what)
		} else if def.slots[path[1]] == nil {
			d.fault(n, "%s: %s", what, def.unknownSlot(path[1]))
		}
	})
}

func (def *definition) unknownSlot(name string) string {
	var names []string
	for _, s := range def.slotList {
		names = append(names, s.name)
	}
	return unknown("slot", name, names)
}

func unknown(what, name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("unknown %s %q; did you mean %q?", what, name, near)
	}
	return fmt.Sprintf("unknown %s %q", what, name)
}
