package assistant

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// intent is what a user may want, with sentences that say so.
type intent struct {
	name     string
	builtin  bool
	examples []string
}

const (
	faqClass   = "faq:"         // begins the class of an entry of the FAQ
	outOfScope = "out_of_scope" // the intent whose examples are what the assistant does not know
)

var markedSpan = regexp.MustCompile(`\[([^\]\[]{1,200})\]\(([a-zA-Z0-9_]{1,64})\)`)

func (d *decoder) intents(n ast.Node, def *definition) {
	count := 0
	for i, e := range d.entries(n, "intents") {
		if i >= maxIntents {
			d.fault(e.at, "more than %d intents", maxIntents)
			return
		}
		what := "intent " + e.key
		in := intent{name: e.key}
		if !validID(e.key) {
			d.fault(e.at, "%s: want 1 to 64 small letters, digits, '-' or '_'", what)
		}
		if s, ok := scalar(e.val); ok {
			d.builtinIntent(e, s, &in)
		} else {
			for _, l := range d.entries(e.val, what) {
				if !slices.Contains(def.languages, l.key) {
					d.fault(l.at, "%s: %q is not one of the languages %s", what, l.key, strings.Join(def.languages, ", "))
					continue
				}
				for _, s := range d.list(l.val, what) {
					x := d.example(l.val, s, e.key, def)
					in.examples, def.marked = append(in.examples, x.text), append(def.marked, x)
				}
			}
		}
		if count += len(in.examples); count > maxExamples {
			d.fault(e.at, "more than %d examples", maxExamples)
			return
		}
		def.intents = append(def.intents, in)
	}
	d.unmarked(n, def)
}

// unmarked finds entities that are to be learnt from nothing.
func (d *decoder) unmarked(n ast.Node, def *definition) {
	for _, e := range def.entities {
		marks := func(x marked) bool {
			return slices.ContainsFunc(x.marks, func(k mark) bool { return k.entity == e })
		}
		if e.learn && !slices.ContainsFunc(def.marked, marks) {
			d.fault(n, "entity %s: learn: no example marks it; write [a value](%s) in some", e.name, e.name)
		}
	}
}

func (d *decoder) builtinIntent(e entry, s string, in *intent) {
	names := []string{"affirm", "cancel", "deny", "goodbye", "help", "repeat", "thanks"}
	switch {
	case s != "builtin":
		d.fault(e.val, "intent %s: want examples per language, or builtin", e.key)
	case !slices.Contains(names, e.key):
		d.fault(e.at, "%s; built in are %s", unknown("built-in intent", e.key, names), strings.Join(names, ", "))
	default:
		in.builtin, in.examples = true, builtinExamples(e.key)
	}
}

// example takes the marks of entities out of a sentence: [SO10023](order_no) is read as SO10023.
func (d *decoder) example(n ast.Node, s, intent string, def *definition) marked {
	what := "intent " + intent
	x := marked{intent: intent}
	if s == "" || len(s) > maxExample {
		d.fault(n, "%s: an example has 1 to %d bytes", what, maxExample)
		return x
	}
	at := 0
	for _, m := range markedSpan.FindAllStringSubmatchIndex(s, -1) {
		x.text += s[at:m[0]]
		k := mark{start: len(x.text)}
		x.text += s[m[2]:m[3]]
		k.end, at = len(x.text), m[1]
		if k.entity = d.entityNamed(n, what+": example "+s, s[m[4]:m[5]], def); k.entity != nil {
			x.marks = append(x.marks, k)
		}
	}
	x.text += s[at:]
	return x
}

func (def *definition) intent(name string) *intent {
	for i := range def.intents {
		if def.intents[i].name == name {
			return &def.intents[i]
		}
	}
	return nil
}

// flowFor gives the flow that an intent starts.
func (def *definition) flowFor(name string) *flow {
	for _, f := range def.flows {
		if slices.Contains(f.start, name) {
			return f
		}
	}
	return nil
}

func (def *definition) flow(name string) *flow {
	for _, f := range def.flows {
		if f.name == name {
			return f
		}
	}
	return nil
}

func (d *decoder) patterns(n ast.Node, def *definition) {
	say := func(to *texts, what string, at ast.Node) {
		d.object(at, what, append([]field{
			{"do", func(n ast.Node) { d.choice(n, what+": do", "say") }},
			{"say", func(n ast.Node) { *to = d.texts(n, what, def, flowRoots) }},
		}, later("when", "after", "max_options")...)...)
	}
	d.object(n, "patterns", append([]field{
		{"fallback", func(n ast.Node) {
			for i, at := range d.items(n, "fallback") {
				if i > 0 {
					d.fault(at, "fallback: a second step is not yet supported by this version")
					return
				}
				say(&def.sorry, "fallback", at)
			}
		}},
		{"cancel", func(n ast.Node) { say(&def.cancel, "cancel", n) }},
	}, later("correction", "silence", "clarify")...)...)
}

func (d *decoder) model(n ast.Node, def *definition) {
	d.object(n, "model", append([]field{
		{"temperature", func(n ast.Node) {
			if def.model.temperature = d.number(n, "temperature"); def.model.temperature < 0 || def.model.temperature > 2 {
				d.fault(n, "temperature: want 0 to 2")
			}
		}},
		{"max_tokens", func(n ast.Node) { def.model.maxTokens = min(d.integer(n, "max_tokens", 1), 8192) }},
	}, later("chat", "use_for", "embed", "max_cost_per_day")...)...)
}

// finish fills in defaults and checks what only the whole definition can tell.
func (d *decoder) finish(def *definition) {
	d.borrowAsks(def)
	def.model.maxTokens = cmp.Or(def.model.maxTokens, 1024)
}
