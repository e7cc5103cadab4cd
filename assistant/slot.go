package assistant

import (
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// slot is something that the session remembers.
type slot struct {
	name     string
	kind     string // text, number, enum, bool, object
	entity   *entity
	intents  map[string]value // from: {intent: {affirm: true}}
	whole    bool             // from: {text: whole_message}
	turnOnly bool             // keep: turn
	asked    bool             // only_when: asked
	min, max *float64
}

func (d *decoder) slots(n ast.Node, def *definition) {
	for i, e := range d.entries(n, "slots") {
		if i >= maxSlots {
			d.fault(e.at, "more than %d slots", maxSlots)
			return
		}
		s := &slot{name: e.key, kind: "text"}
		def.slots[e.key] = s
		def.slotList = append(def.slotList, s)
		d.slot(e, s, def)
	}
}

func (d *decoder) slot(e entry, s *slot, def *definition) {
	what := "slot " + s.name
	bound := func(to **float64) func(ast.Node) {
		return func(n ast.Node) { f := d.number(n, what); *to = &f }
	}
	d.object(e.val, what, append([]field{
		{"type", func(n ast.Node) {
			s.kind = d.choice(n, what+": type", "text", "number", "enum", "bool", "object")
		}},
		{"from", func(n ast.Node) { d.source(n, s, def) }},
		{"keep", func(n ast.Node) { s.turnOnly = d.choice(n, what+": keep", "session", "turn") == "turn" }},
		{"only_when", func(n ast.Node) { d.choice(n, what+": only_when", "asked"); s.asked = true }},
		{"min", bound(&s.min)},
		{"max", bound(&s.max)},
	}, later("pii", "values", "roles")...)...)
	if s.kind == "enum" && (s.entity == nil || len(s.entity.names) == 0) {
		d.fault(e.at, "%s: an enum comes from an entity with a list", what)
	}
	if (s.min != nil || s.max != nil) && s.kind != "number" {
		d.fault(e.at, "%s: min and max belong to a number", what)
	}
	if s.whole && !s.asked {
		d.fault(e.at, "%s: a slot from the whole message needs only_when: asked", what)
	}
}

// source reads from: an entity's name, tool, or a mapping with entity, intent or text.
func (d *decoder) source(n ast.Node, s *slot, def *definition) {
	what := "slot " + s.name + ": from"
	if name, ok := scalar(n); ok {
		if name != "tool" {
			s.entity = d.entityNamed(n, what, name, def)
		}
		return
	}
	d.object(n, what,
		field{"entity", func(n ast.Node) { s.entity = d.entityNamed(n, what, d.text(n, what), def) }},
		field{"text", func(n ast.Node) { d.choice(n, what+": text", "whole_message"); s.whole = true }},
		field{"intent", func(n ast.Node) {
			s.intents = map[string]value{}
			for _, e := range d.entries(n, what) {
				s.intents[e.key] = d.value(e.val, what, 0)
			}
		}})
}

func (d *decoder) entityNamed(n ast.Node, what, name string, def *definition) *entity {
	var names []string
	for _, e := range def.entities {
		if e.name == name {
			return e
		}
		names = append(names, e.name)
	}
	d.fault(n, "%s: %s", what, unknown("entity", name, names))
	return nil
}

// accept turns what was heard into a value of the slot; false when it is out of range or of the wrong kind.
func (s *slot) accept(heard value) (value, bool) {
	switch s.kind {
	case "number":
		n, ok := asNumber(heard)
		if !ok || s.min != nil && n < *s.min || s.max != nil && n > *s.max {
			return value{}, false
		}
		return number(n), true
	case "bool":
		if heard.kind == boolKind {
			return heard, true
		}
		b, err := strconv.ParseBool(heard.text)
		return truth(b), err == nil
	case "object":
		return heard, heard.kind == objectKind || heard.kind == listKind
	}
	if heard.kind == numberKind || heard.kind == boolKind {
		return text(heard.String()), true
	}
	return heard, heard.kind == textKind && len(heard.text) > 0 && len(heard.text) <= maxSlotText
}

// holds reports whether a remembered value still fits the slot.
func (s *slot) holds(v value) bool {
	switch s.kind {
	case "number":
		return v.kind == numberKind
	case "bool":
		return v.kind == boolKind
	case "object":
		return v.kind == objectKind || v.kind == listKind
	case "enum":
		return v.kind == textKind && s.entity.names[v.text] != nil
	}
	return v.kind == textKind
}

// collects reports whether the flow asks for the slot.
func (f *flow) collects(name string) bool {
	return slices.ContainsFunc(f.steps, func(s step) bool { return s.op == opCollect && slices.Contains(s.slots, name) })
}
