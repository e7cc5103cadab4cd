package assistant

import (
	"slices"
	"strings"

	words "github.com/skein-mesh/skein/assistant/text"
)

// heard is what is understood of a message before the conversation is looked at.
type heard struct {
	cleaned, folded string
	all             []mention     // whatever its conditions
	tokens          []words.Token // entities in place of their text
	guess           guess
	sense           sense
}

// sense is what the phrases of a message say.
type sense struct {
	affirm   bool // yes, and nothing that takes it back
	deny     bool // begins with a no
	cancel   bool // nothing but a wish to stop
	corrects bool // "no, …", "i meant …"
	elliptic bool // an entity and nothing else that means anything: "what about 42?"
	question bool
}

func (t *turn) listen() {
	h := &t.heard
	m := read(t.in.Text)
	h.cleaned, h.folded = m.Plain, m.Folded
	h.all = resolve(t.a.def.find(m), t.askedEntity())
	h.tokens = mask(m, h.all)
	h.guess = t.a.classify(h.tokens)
	if h.guess.sure() {
		h.all = t.a.learned(m, h.guess.intent, h.all)
		h.tokens = mask(m, h.all)
	}
	h.sense = t.a.sense(h)
	t.lang = t.a.language(h.tokens, t.mem.Language)
	if h.guess.sure() && !strings.HasPrefix(h.guess.intent, faqClass) {
		t.intent = h.guess.intent
	}
}

func (t *turn) askedEntity() string {
	f := t.mem.top()
	if f == nil {
		return ""
	}
	if s := t.a.def.slots[f.Asked]; s != nil && s.entity != nil {
		return s.entity.name
	}
	return ""
}

func (a *Assistant) sense(h *heard) sense {
	var count [butPhrase + 1]int
	entities, first := 0, noPhrase
	a.lexicon.find(h.tokens, func(p phrase, ts []words.Token) {
		if ts[0].Kind == words.Entity {
			entities++
			return
		}
		count[p]++
		if first == noPhrase && p != fillerPhrase {
			first = p
			if p == noPhrase {
				first = butPhrase // a word that is no phrase: what follows neither affirms nor denies
			}
		}
	})
	var s sense
	s.question = strings.ContainsAny(h.folded, "?？") || a.lexicon.has(h.tokens, a.lexicon.asking)
	back := count[denyPhrase] + count[cancelPhrase] + count[butPhrase] + count[correctPhrase]
	s.affirm = first == affirmPhrase && back == 0 && count[noPhrase] <= 3 && len(h.tokens) <= maxAffirm && !s.question
	s.deny = first == denyPhrase
	s.cancel = count[cancelPhrase] > 0 && count[denyPhrase]+count[noPhrase]+entities == 0
	s.corrects = entities > 0 && (s.deny || count[correctPhrase] > 0)
	s.elliptic = entities > 0 && count[noPhrase]+count[cancelPhrase] == 0
	return s
}

// maxAffirm is the most tokens that a yes has; whoever writes more has something else to say.
const maxAffirm = 12

// mentioned is the scope of an entity's condition.
type mentioned struct {
	asked        bool
	intent, flow string
}

func (m mentioned) lookup(path []string) value {
	switch path[0] {
	case "asked":
		return truth(m.asked)
	case "intent":
		return text(m.intent)
	}
	return text(m.flow)
}

// said gives what the message says for a slot, given the intent that it is read with.
func (t *turn) said(s *slot, asked, intent string) (value, bool) {
	if s.asked && asked != s.name {
		return value{}, false
	}
	if s.intents != nil && asked == s.name {
		if v, ok := s.intents[t.polarity()]; ok {
			return s.accept(v)
		}
	}
	if s.entity != nil {
		if m, ok := t.mention(s.entity, s.name == asked, intent); ok {
			return s.accept(text(m.value))
		}
	}
	if s.whole && asked == s.name && t.heard.cleaned != "" {
		return s.accept(text(t.heard.cleaned))
	}
	return value{}, false
}

// polarity is the intent of an answer to a question of yes or no.
func (t *turn) polarity() string {
	switch {
	case t.heard.sense.affirm:
		return "affirm"
	case t.heard.sense.deny:
		return "deny"
	}
	return t.intent
}

// mention finds an entity; of several, a correction means the last one: "not SO10021, SO10022".
func (t *turn) mention(e *entity, asked bool, intent string) (mention, bool) {
	if e.when != nil {
		flow := ""
		if f := t.mem.top(); f != nil {
			flow = f.Flow
		}
		if !e.when.eval(mentioned{asked, intent, flow}).true() {
			return mention{}, false
		}
	}
	list := t.heard.all
	if t.heard.sense.corrects {
		list = slices.Clone(list)
		slices.Reverse(list)
	}
	i := slices.IndexFunc(list, func(m mention) bool { return m.entity == e })
	if i < 0 {
		return mention{}, false
	}
	return list[i], true
}

// fill takes in all that the message says; it gives the slots whose value has changed.
func (t *turn) fill(asked, intent string) []string {
	var changed []string
	for _, s := range t.a.def.slotList {
		if v, ok := t.said(s, asked, intent); ok && !v.equal(t.mem.Slots[s.name]) {
			t.mem.Slots[s.name] = v
			changed = append(changed, s.name)
		}
	}
	return changed
}
