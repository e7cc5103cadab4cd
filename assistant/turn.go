package assistant

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/session"
)

// turn is one message on its way to a reply.
type turn struct {
	a    *Assistant
	in   Input
	host Host
	mem  *memory
	lang string

	heard heard

	parts     []string // of the reply
	text      string   // the reply
	source    string
	intent    string
	asks      string // the slot that was asked for last, or confirmAsked
	calls     map[string]int
	called    []string // tools
	wantModel bool
	steps     int
	says      uint32
}

// answer runs a turn and leaves its reply in text.
func (a *Assistant) answer(ctx context.Context, in Input, host Host) (*turn, error) {
	if len(in.Text) > session.MaxText {
		return nil, fmt.Errorf("%w: a message of %d bytes, at most %d", ErrFinal, len(in.Text), session.MaxText)
	}
	mem, err := a.recall(in.Memory)
	if err != nil {
		return nil, err
	}
	t := &turn{a: a, in: in, host: host, mem: mem, calls: map[string]int{}}
	t.listen()
	if err := t.route(ctx); err != nil {
		return nil, err
	}
	if t.wantModel || in.Committed != "" {
		// Only a model streams, so a reply that has begun is a model's, and a model ends it.
		err = t.write(ctx)
	} else {
		t.text = strings.Join(t.parts, "\n")
	}
	if err != nil {
		return nil, err
	}
	t.settle()
	return t, nil
}

// settle brings memory to the end of the turn.
func (t *turn) settle() {
	t.mem.Language = t.lang
	if t.intent != "" {
		t.mem.Intent = t.intent
	}
	for _, m := range t.heard.all {
		if len(m.value) <= maxSlotText {
			t.mem.Seen[m.entity.name] = m.value
		}
	}
	if len(t.mem.Stack) > 0 {
		return
	}
	for _, s := range t.a.def.slotList {
		if s.turnOnly {
			delete(t.mem.Slots, s.name)
		}
	}
}

// lookup gives the values of expressions and templates.
func (t *turn) lookup(path []string) value {
	switch path[0] {
	case "slots":
		if len(path) > 1 {
			return t.mem.Slots[path[1]].at(path[2:])
		}
	case "result":
		if f := t.mem.top(); f != nil {
			return f.Result.at(path[1:])
		}
	case "intent":
		return text(t.intent)
	case "lang":
		return text(t.lang)
	case "now":
		return text(t.in.Now.In(t.a.def.zone).Format(time.RFC3339))
	case "session":
		if len(path) == 2 && path[1] == "id" {
			return text(string(t.in.Session))
		}
	}
	return value{}
}

// pick chooses one of several texts, the same one at every attempt of a turn.
func (t *turn) pick(from texts) *template {
	list := from[t.lang]
	if len(list) == 0 {
		list = from[t.a.def.fallback]
	}
	if len(list) == 0 {
		return &template{}
	}
	h := fnv.New32a()
	h.Write([]byte(string(t.in.Session) + " " + t.in.Turn.String()))
	t.says++
	return list[(h.Sum32()+t.says)%uint32(len(list))]
}

// say adds to the reply; without a text of the definition it says our own.
func (t *turn) say(from texts, own string) {
	if from == nil {
		t.add(ownWords[own][t.lang])
		return
	}
	t.add(t.pick(from).render(t, nil, nil))
}

func (t *turn) add(s string) {
	if s = strings.TrimSpace(s); s != "" && len(s) <= session.MaxReply/4 {
		t.parts = append(t.parts, s)
	}
}

// from notes what answered; the first to answer names the turn, and a question asked again behind it does not.
func (t *turn) from(source string) {
	if t.source == "" {
		t.source = source
	}
}

// start begins a flow above the ones that wait.
func (t *turn) start(f *flow, intent string) {
	t.intent, t.mem.Intent, t.mem.Flow = intent, intent, f.name
	t.from("flow:" + f.name)
	if i := slices.IndexFunc(t.mem.Stack, func(w frame) bool { return w.flow == f }); i >= 0 {
		t.mem.Stack = t.mem.Stack[:i]
	}
	if top := t.mem.top(); top != nil {
		top.Saved = map[string]value{}
		for _, name := range top.flow.footprint {
			if v := t.mem.Slots[name]; v.kind != nilKind {
				top.Saved[name] = v
			}
		}
	}
	if len(t.mem.Stack) == maxStack {
		t.mem.Stack = slices.Delete(t.mem.Stack, 0, 1)
	}
	t.mem.Stack = append(t.mem.Stack, frame{Flow: f.name, flow: f})
	t.freshen(f)
	t.fill("", intent)
}

// freshen forgets what a new run of a flow must not take from an earlier one.
func (t *turn) freshen(f *flow) {
	other := t.a.lexicon.has(t.heard.tokens, t.a.lexicon.another)
	for _, s := range t.a.def.slotList {
		if f.collects(s.name) && (s.asked || s.turnOnly || other && s.entity != nil) {
			delete(t.mem.Slots, s.name)
		}
	}
}

// end takes the top flow off and gives the one below its slots back.
func (t *turn) end() {
	t.mem.Stack = t.mem.Stack[:len(t.mem.Stack)-1]
	top := t.mem.top()
	if top == nil || top.Saved == nil {
		return
	}
	for _, name := range top.flow.footprint {
		if v, ok := top.Saved[name]; ok {
			t.mem.Slots[name] = v
		} else {
			delete(t.mem.Slots, name)
		}
	}
	top.Saved = nil
}
