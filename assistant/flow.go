package assistant

import (
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// flow is a list of steps, compiled: a step with a condition jumps over what it does not run. All jumps go
// forward, so a flow ends.
type flow struct {
	name          string
	start         []string // intents
	steps         []step
	uninterrupted bool
	footprint     []string // slots that it collects, sets or gets from tools
}

type op uint8

const (
	opSay op = iota + 1
	opCollect
	opCall
	opSet
	opConfirm
	opUnless // jump when cond does not hold
	opJump
	opModel // the model answers
)

// step is one instruction.
type step struct {
	op     op
	id     string // its own, or its place such as "3.0"
	named  bool
	at     ast.Node
	say    texts // opSay, opConfirm
	slots  []string
	ask    map[string]texts
	retry  texts
	tries  int
	cond   *expr
	target int
	tool   *tool
	sets   []assignment
	onFail *branch // opCall
	denied texts   // opConfirm
}

type assignment struct {
	slot string
	expr *expr
}

type branch struct {
	say texts
	end bool
}

const defaultTries = 3

// compiler turns the steps of one flow into instructions.
type compiler struct {
	*decoder
	def  *definition
	flow *flow
	what string
}

func (d *decoder) flows(n ast.Node, def *definition) {
	started := map[string]string{}
	for i, e := range d.entries(n, "flows") {
		if i >= maxFlows {
			d.fault(e.at, "more than %d flows", maxFlows)
			return
		}
		f := &flow{name: e.key}
		def.flows = append(def.flows, f)
		c := &compiler{decoder: d, def: def, flow: f, what: "flow " + e.key}
		var steps ast.Node
		d.object(e.val, c.what, append([]field{
			{"description", func(n ast.Node) { d.text(n, c.what+": description") }},
			{"start", func(n ast.Node) { c.starts(n, started) }},
			{"interruptible", func(n ast.Node) { f.uninterrupted = !d.boolean(n, c.what+": interruptible") }},
			{"steps", func(n ast.Node) { steps = n }},
		}, later("compensate", "timeout", "silence")...)...)
		if steps == nil {
			d.fault(e.at, "%s: steps are missing", c.what)
			continue
		}
		c.block(steps, "", 0)
		c.checkConfirmed()
	}
}

func (c *compiler) starts(n ast.Node, started map[string]string) {
	c.object(n, c.what+": start", field{"intent", func(n ast.Node) {
		for _, name := range c.list(n, c.what+": start") {
			if c.def.intent(name) == nil {
				var names []string
				for _, in := range c.def.intents {
					names = append(names, in.name)
				}
				c.fault(n, "%s: %s", c.what, unknown("intent", name, names))
			} else if other := started[name]; other != "" {
				c.fault(n, "%s: the intent %s starts the flow %s already", c.what, name, other)
			}
			started[name] = c.flow.name
			c.flow.start = append(c.flow.start, name)
		}
	}})
}

func (c *compiler) emit(s step) int {
	if len(c.flow.steps) == maxFlowSteps {
		c.fault(s.at, "%s: more than %d steps", c.what, maxFlowSteps)
	}
	if len(c.flow.steps) >= maxFlowSteps {
		return maxFlowSteps - 1
	}
	c.flow.steps = append(c.flow.steps, s)
	return len(c.flow.steps) - 1
}

func (c *compiler) touch(slot string) {
	if !slices.Contains(c.flow.footprint, slot) {
		c.flow.footprint = append(c.flow.footprint, slot)
	}
}

// block compiles a list of steps; if, elif and else on neighbouring steps belong together.
func (c *compiler) block(n ast.Node, path string, depth int) {
	if depth > maxDepth {
		c.fault(n, "%s: steps nested deeper than %d", c.what, maxDepth)
		return
	}
	var ends []int // jumps to the end of the chain
	skip := -1     // the condition that jumps to the next part of the chain
	for i, item := range c.items(n, c.what+": steps") {
		b := c.body(item, path+strconv.Itoa(i), depth)
		if b.guard != "elif" && b.guard != "else" {
			c.patch(ends, skip)
			ends, skip = nil, -1
		} else if skip < 0 {
			c.fault(item, "%s: %s without an if before it", c.what, b.guard)
			continue
		} else {
			ends = append(ends, c.emit(step{op: opJump, id: b.id + ".jump", at: item}))
			c.flow.steps[skip].target = len(c.flow.steps)
			skip = -1
		}
		if b.cond != nil {
			skip = c.emit(step{op: opUnless, id: b.id + ".if", at: item, cond: b.cond})
		}
		b.run()
	}
	c.patch(ends, skip)
}

func (c *compiler) patch(jumps []int, skip int) {
	for _, j := range jumps {
		c.flow.steps[j].target = len(c.flow.steps)
	}
	if skip >= 0 {
		c.flow.steps[skip].target = len(c.flow.steps)
	}
}

// checkConfirmed refuses a flow in which some path reaches a side effect without a passed confirm.
func (c *compiler) checkConfirmed() {
	n := len(c.flow.steps)
	const unreached, open, passed = 0, 1, 2
	states := make([]int, n+1)
	states[0] = open
	arrive := func(at, state int) {
		if at = min(at, n); states[at] == unreached || state < states[at] {
			states[at] = state
		}
	}
	for i, s := range c.flow.steps {
		state := states[i]
		if state == unreached {
			continue
		}
		switch s.op {
		case opConfirm:
			arrive(i+1, passed)
		case opJump:
			arrive(s.target, state)
		case opUnless:
			arrive(s.target, state)
			arrive(i+1, state)
		case opCall:
			if s.tool.sideEffect && state != passed {
				c.fault(s.at, "%s: the tool %s has a side effect and needs a confirm before it on every path", c.what, s.tool.name)
			}
			arrive(i+1, state)
		default:
			arrive(i+1, state)
		}
	}
}

// find gives the step of an id, -1 when there is none.
func (f *flow) find(id string) int {
	return slices.IndexFunc(f.steps, func(s step) bool { return s.id == id })
}

// borrowAsks gives each collected slot without a question the one that another flow asks for it.
func (d *decoder) borrowAsks(def *definition) {
	known := map[string]texts{}
	for _, f := range def.flows {
		for _, s := range f.steps {
			for slot, ask := range s.ask {
				if known[slot] == nil {
					known[slot] = ask
				}
			}
		}
	}
	for _, f := range def.flows {
		for _, s := range f.steps {
			for _, slot := range s.slots {
				if s.ask[slot] != nil {
					continue
				}
				if known[slot] == nil {
					d.fault(s.at, "flow %s: no question (ask) for the slot %s", f.name, slot)
					continue
				}
				s.ask[slot] = known[slot]
			}
		}
	}
}
