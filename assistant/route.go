package assistant

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Scores from which a question of the FAQ is answered: alone, and when the classifier names the same entry.
const (
	faqAlone  = 0.55
	faqBacked = 0.20
)

// digression is what a message asks for beside a waiting question.
type digression struct {
	flow *flow
	faq  int // entry; -1: none
}

func (d digression) none() bool { return d.flow == nil && d.faq < 0 }

func (t *turn) route(ctx context.Context) error {
	if f := t.mem.top(); f != nil {
		return t.inFlow(ctx, f)
	}
	return t.idle(ctx)
}

// idle answers a message while no flow waits.
func (t *turn) idle(ctx context.Context) error {
	h := &t.heard
	if h.sense.cancel {
		return t.cancel()
	}
	if f, intent := t.follows(); f != nil {
		t.start(f, intent)
		return t.run(ctx)
	}
	d := t.digress(nil)
	switch {
	case d.flow != nil:
		t.start(d.flow, h.guess.intent)
		return t.run(ctx)
	case d.faq >= 0:
		t.fill("", "")
		t.answerFAQ(d.faq)
		return nil
	case t.intent == "repeat" && t.repeat():
		return nil
	}
	if f := t.bare(); f != nil {
		t.start(f, f.start[0])
		return t.run(ctx)
	}
	t.fill("", t.intent)
	if t.a.deps.Engine != nil {
		t.wantModel = true
		return nil
	}
	t.from("fallback")
	t.say(t.a.def.sorry, sayFallback)
	return nil
}

// follows gives the last flow when the message goes on with it for another thing: "what about 42?".
func (t *turn) follows() (*flow, string) {
	last := t.a.def.flow(t.mem.Flow)
	h := &t.heard
	if last == nil || len(h.all) == 0 || !h.sense.elliptic && (h.guess.sure() || len(h.tokens) > 8) {
		return nil, ""
	}
	if h.guess.exact && t.a.def.flowFor(h.guess.intent) != last {
		return nil, ""
	}
	intent := t.mem.Intent
	if t.a.def.flowFor(intent) != last {
		if len(last.start) == 0 {
			return nil, ""
		}
		intent = last.start[0]
	}
	for _, s := range t.a.def.slotList {
		if _, ok := t.said(s, "", intent); ok && s.entity != nil && last.collects(s.name) {
			return last, intent
		}
	}
	return nil, ""
}

// bare gives a flow for a message that is nothing but a thing: the first one that asks for it and changes nothing.
func (t *turn) bare() *flow {
	if !t.heard.sense.elliptic {
		return nil
	}
	for _, f := range t.a.def.flows {
		if len(f.start) == 0 || f.sideEffects() {
			continue
		}
		for _, s := range t.a.def.slotList {
			if _, ok := t.said(s, "", f.start[0]); ok && s.entity != nil && f.collects(s.name) {
				return f
			}
		}
	}
	return nil
}

func (f *flow) sideEffects() bool {
	for _, s := range f.steps {
		if s.op == opCall && s.tool.sideEffect {
			return true
		}
	}
	return false
}

// digress gives what a message asks for, other than the flow that waits.
func (t *turn) digress(waiting *flow) digression {
	g := t.heard.guess
	id, isFAQ := strings.CutPrefix(g.intent, faqClass)
	if waiting != nil && g.confidence < interruptConfidence {
		return digression{nil, -1}
	}
	if g.sure() && !isFAQ {
		if f := t.a.def.flowFor(g.intent); f != nil && f != waiting {
			return digression{f, -1}
		}
		if g.confidence >= switchConfidence {
			return digression{nil, -1}
		}
	}
	entry, score := t.a.find(t.heard.tokens)
	if isFAQ && g.sure() {
		return digression{nil, t.a.def.faqAt(id)}
	}
	agree := isFAQ && entry >= 0 && t.a.def.faq[entry].id == id && g.confidence >= faqBacked
	if score >= faqAlone && g.confidence < switchConfidence || agree && score >= faqBacked {
		return digression{nil, entry}
	}
	return digression{nil, -1}
}

func (t *turn) answerFAQ(entry int) {
	f := &t.a.def.faq[entry]
	t.intent = ""
	t.from("faq:" + f.id)
	t.say(f.answer, sayFallback)
}

func (t *turn) cancel() error {
	t.mem.Stack = nil
	t.intent = "cancel"
	t.from("cancel")
	t.say(t.a.def.cancel, sayCancel)
	return nil
}

// repeat says the last reply again.
func (t *turn) repeat() bool {
	n := len(t.in.History)
	if n == 0 || t.in.History[n-1].Reply == "" {
		return false
	}
	t.from("repeat")
	t.parts = append(t.parts, t.in.History[n-1].Reply)
	return true
}

// inFlow reads a message while a flow waits for an answer.
func (t *turn) inFlow(ctx context.Context, f *frame) error {
	h := &t.heard
	if h.sense.cancel {
		return t.cancel()
	}
	intent := cmp.Or(t.mem.Intent, t.intent)
	if f.Asked == "" { // its step is gone; it has begun again
		t.from("flow:" + f.Flow)
		t.fill("", intent)
		return t.run(ctx)
	}
	changes, answered := t.changes(f, intent)
	d := digression{nil, -1}
	if !f.flow.uninterrupted {
		d = t.digress(f.flow)
	}
	leaves := !d.none() && (h.guess.exact || h.guess.confidence >= switchConfidence && h.sense.question)
	switch {
	case f.Asked == confirmAsked && len(changes) == 0 && h.sense.affirm && !leaves:
		return t.confirmed(ctx, f)
	case f.Asked == confirmAsked && len(changes) == 0 && h.sense.deny && !leaves:
		return t.denied(ctx, f)
	case h.sense.corrects && len(changes) > 0, answered && !leaves, h.sense.elliptic && len(changes) > 0:
		return t.take(ctx, f, intent)
	case !d.none():
		return t.interrupt(ctx, d)
	case len(changes) > 0:
		return t.take(ctx, f, intent)
	case h.guess.sure() && t.a.def.flowFor(h.guess.intent) == f.flow:
		t.from("flow:" + f.Flow) // they said again what they want: ask again
		return t.run(ctx)
	}
	return t.misunderstood(ctx, f)
}

// changes gives the slots of a waiting flow that the message would change, and whether it answers what was asked.
func (t *turn) changes(f *frame, intent string) (changes []string, answered bool) {
	for _, s := range t.a.def.slotList {
		if s.name != f.Asked && !f.flow.collects(s.name) {
			continue
		}
		v, ok := t.said(s, f.Asked, intent)
		if ok && s.name == f.Asked {
			answered = true
		}
		if ok && !v.equal(t.mem.Slots[s.name]) {
			changes = append(changes, s.name)
		}
	}
	return changes, answered
}

// take fills in what was said and goes on: from the question of the first slot that was answered before and is
// corrected now, else from where the flow waits.
func (t *turn) take(ctx context.Context, f *frame, intent string) error {
	t.from("flow:" + f.Flow)
	t.intent = intent
	for _, name := range t.fill(f.Asked, intent) {
		for i := range f.pc {
			s := &f.flow.steps[i]
			if s.op == opCollect && slices.Contains(s.slots, name) {
				f.pc, f.Confirmed = i, false
			}
		}
	}
	f.Asked, f.Tries = "", 0
	return t.run(ctx)
}

// interrupt answers something else and comes back to what was asked.
func (t *turn) interrupt(ctx context.Context, d digression) error {
	if d.flow != nil {
		t.start(d.flow, t.heard.guess.intent)
	} else {
		t.answerFAQ(d.faq)
	}
	return t.run(ctx)
}

func (t *turn) confirmed(ctx context.Context, f *frame) error {
	t.from("flow:" + f.Flow)
	t.intent = "affirm"
	f.Confirmed, f.Asked, f.Tries = true, "", 0
	f.pc++
	return t.run(ctx)
}

func (t *turn) denied(ctx context.Context, f *frame) error {
	t.from("flow:" + f.Flow)
	t.intent = "deny"
	t.say(f.flow.steps[f.pc].denied, sayDenied)
	t.end()
	return t.run(ctx)
}

// misunderstood asks again, and gives up after as many tries as the step allows.
func (t *turn) misunderstood(ctx context.Context, f *frame) error {
	t.from("flow:" + f.Flow)
	s := &f.flow.steps[f.pc]
	if f.Tries++; f.Tries > s.tries {
		t.say(nil, sayGiveUp)
		t.end()
		return t.run(ctx)
	}
	t.say(s.retry, sayRetry)
	return t.run(ctx)
}
