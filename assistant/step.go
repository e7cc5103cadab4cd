package assistant

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// body is one item of a list of steps, read but not yet compiled: its guard comes before it.
type body struct {
	guard string // "", "if", "elif", "else"
	cond  *expr
	id    string
	named bool
	item  ast.Node
	parts map[string]ast.Node
	depth int
	c     *compiler
}

// mains are what a step does; it does one of them.
var mains = []string{"collect", "call", "set", "confirm", "answer"}

func (c *compiler) body(item ast.Node, id string, depth int) *body {
	b := &body{id: id, item: item, parts: map[string]ast.Node{}, depth: depth, c: c}
	var fields []field
	for _, name := range []string{"ask", "retry", "on_error", "say", "steps", "goto", "collect", "call", "set", "confirm", "answer"} {
		fields = append(fields, field{name, func(n ast.Node) { b.parts[name] = n }})
	}
	guard := func(name string, hasCond bool) field {
		return field{name, func(n ast.Node) {
			if b.guard != "" {
				c.fault(n, "%s: a step has one of if, elif and else", c.what)
			}
			if b.guard = name; hasCond {
				b.cond = c.checkedExpr(n, c.what+": "+name, c.def)
			}
		}}
	}
	fields = append(fields, guard("if", true), guard("elif", true), guard("else", false), field{"id", func(n ast.Node) {
		if b.id, b.named = c.text(n, c.what+": id"), true; !validID(b.id) || c.flow.find(b.id) >= 0 {
			c.fault(n, "%s: id %.40q is not a name, or is there twice", c.what, b.id)
		}
	}})
	c.object(item, c.what+": step", append(fields, later("handoff", "buttons", "wait", "flow", "recommend", "compensate")...)...)
	b.check()
	return b
}

// check refuses a step that does nothing, or several things.
func (b *body) check() {
	var found []string
	for _, m := range mains {
		if b.parts[m] != nil {
			found = append(found, m)
		}
	}
	if len(found) > 1 {
		b.c.fault(b.item, "%s: a step does one of %s", b.c.what, strings.Join(found, ", "))
	}
	if len(found) == 0 && b.parts["say"] == nil && b.parts["steps"] == nil && b.parts["goto"] == nil {
		b.c.fault(b.item, "%s: the step does nothing; want one of say, steps, goto, %s", b.c.what, strings.Join(mains, ", "))
	}
	owners := map[string]string{"ask": "collect", "retry": "collect", "on_error": "call"}
	for part, owner := range owners {
		if b.parts[part] != nil && b.parts[owner] == nil && !(part == "retry" && b.parts["confirm"] != nil) {
			b.c.fault(b.parts[part], "%s: %s belongs to %s", b.c.what, part, owner)
		}
	}
}

// run compiles the item: what it does, then what it says, then steps inside it, then where it goes.
func (b *body) run() {
	compile := map[string]func(ast.Node){"collect": b.collect, "call": b.call, "set": b.set, "confirm": b.confirm, "answer": b.answer}
	for _, m := range mains {
		if n := b.parts[m]; n != nil {
			compile[m](n)
		}
	}
	c := b.c
	if n := b.parts["say"]; n != nil {
		c.emit(step{op: opSay, id: b.id + ".say", at: n, say: c.texts(n, c.what+": say", c.def, flowRoots)})
	}
	if n := b.parts["steps"]; n != nil {
		c.block(n, b.id+".", b.depth+1)
	}
	if n := b.parts["goto"]; n != nil {
		c.choice(n, c.what+": goto", "end")
		c.emit(step{op: opJump, id: b.id + ".goto", at: n, target: maxFlowSteps})
	}
}

func (b *body) collect(n ast.Node) {
	c := b.c
	s := step{op: opCollect, id: b.id, named: b.named, at: n, ask: map[string]texts{}, tries: defaultTries}
	for _, name := range c.list(n, c.what+": collect") {
		if c.def.slots[name] == nil {
			c.fault(n, "%s: collect: %s", c.what, c.def.unknownSlot(name))
			continue
		}
		if known := c.def.slots[name]; known.entity == nil && known.intents == nil && !known.whole {
			c.fault(n, "%s: collect: the slot %s is not filled from what a user says (from)", c.what, name)
		}
		s.slots = append(s.slots, name)
		c.touch(name)
	}
	if n := b.parts["ask"]; n != nil {
		b.asks(n, &s)
	}
	b.retry(&s)
	c.emit(s)
}

// asks reads one question, or one for each collected slot.
func (b *body) asks(n ast.Node, s *step) {
	c := b.c
	var list []entry
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		list = c.entries(n, c.what+": ask")
	}
	perSlot := len(list) > 0
	for _, e := range list {
		perSlot = perSlot && !slices.Contains(c.def.languages, e.key)
	}
	if perSlot {
		for _, e := range list {
			if !slices.Contains(s.slots, e.key) {
				c.fault(e.at, "%s: ask: %s", c.what, unknown("collected slot", e.key, s.slots))
				continue
			}
			s.ask[e.key] = c.texts(e.val, c.what+": ask", c.def, flowRoots)
		}
		return
	}
	if len(s.slots) > 1 {
		c.fault(n, "%s: ask: several slots are collected; give each its question", c.what)
		return
	}
	ask := c.texts(n, c.what+": ask", c.def, flowRoots)
	for _, slot := range s.slots {
		s.ask[slot] = ask
	}
}

func (b *body) retry(s *step) {
	c := b.c
	if n := b.parts["retry"]; n != nil {
		c.object(n, c.what+": retry", append([]field{
			{"max", func(n ast.Node) { s.tries = min(c.integer(n, c.what+": retry: max", 1), 10) }},
			{"say", func(n ast.Node) { s.retry = c.texts(n, c.what+": retry", c.def, flowRoots) }},
		}, later("then")...)...)
	}
}

func (b *body) call(n ast.Node) {
	c := b.c
	s := step{op: opCall, id: b.id, named: b.named, at: n}
	name := c.text(n, c.what+": call")
	if s.tool = c.def.tools[name]; s.tool == nil {
		var names []string
		for t := range c.def.tools {
			names = append(names, t)
		}
		slices.Sort(names)
		c.fault(n, "%s: call: %s", c.what, unknown("tool", name, names))
		return
	}
	if n := b.parts["on_error"]; n != nil {
		s.onFail = &branch{}
		c.object(n, c.what+": on_error", append([]field{
			{"say", func(n ast.Node) { s.onFail.say = c.texts(n, c.what+": on_error", c.def, flowRoots) }},
			{"goto", func(n ast.Node) { c.choice(n, c.what+": on_error: goto", "end"); s.onFail.end = true }},
		}, later("handoff", "steps")...)...)
		if s.tool.sideEffect {
			s.onFail.end = true
		}
	}
	for slot := range s.tool.returns {
		if c.def.slots[slot] != nil {
			c.touch(slot)
		}
	}
	c.emit(s)
}

func (b *body) set(n ast.Node) {
	c := b.c
	s := step{op: opSet, id: b.id, named: b.named, at: n}
	for _, e := range c.entries(n, c.what+": set") {
		if c.def.slots[e.key] == nil {
			c.fault(e.at, "%s: set: %s", c.what, c.def.unknownSlot(e.key))
			continue
		}
		if x := c.setExpr(e.val); x != nil {
			s.sets = append(s.sets, assignment{e.key, x})
			c.touch(e.key)
		}
	}
	c.emit(s)
}

// setExpr reads what a slot is set to: an expression, or nothing to forget it.
func (c *compiler) setExpr(n ast.Node) *expr {
	if _, ok := n.(*ast.NullNode); ok {
		return &expr{}
	}
	return c.checkedExpr(n, c.what+": set", c.def)
}

func (b *body) confirm(n ast.Node) {
	c := b.c
	s := step{op: opConfirm, id: b.id, named: b.named, at: n, tries: defaultTries}
	what := c.what + ": confirm"
	if _, ok := scalar(n); ok {
		s.say = c.texts(n, what, c.def, flowRoots)
	} else {
		s.say = texts{}
		fields := []field{{"denied", func(n ast.Node) {
			c.object(n, what+": denied", append([]field{
				{"say", func(n ast.Node) { s.denied = c.texts(n, what+": denied", c.def, flowRoots) }},
				{"goto", func(n ast.Node) { c.choice(n, what+": denied: goto", "end") }},
			}, later("handoff", "steps")...)...)
		}}}
		for _, l := range c.def.languages {
			fields = append(fields, field{l, func(n ast.Node) { s.say[l] = c.templates(n, what, c.def, flowRoots) }})
		}
		c.object(n, what, fields...)
		if len(s.say[c.def.fallback]) == 0 {
			c.fault(n, "%s: no text in the default language %s", what, c.def.fallback)
		}
	}
	b.retry(&s)
	c.emit(s)
}

func (b *body) answer(n ast.Node) {
	b.c.choice(n, b.c.what+": answer", "model")
	b.c.emit(step{op: opModel, id: b.id, named: b.named, at: n})
}
