package assistant

import (
	"context"
	"errors"
	"fmt"
)

// run carries on with the top flow until it waits for the user, then, when it ends, with the one below.
func (t *turn) run(ctx context.Context) error {
	for {
		f := t.mem.top()
		if f == nil {
			return nil
		}
		waits, err := t.advance(ctx, f)
		if err != nil || waits {
			return err
		}
		t.end()
		if t.wantModel {
			return nil
		}
	}
}

// advance runs the steps of one flow; true when it waits for an answer.
func (t *turn) advance(ctx context.Context, f *frame) (bool, error) {
	for f.pc < len(f.flow.steps) {
		if t.steps++; t.steps > maxTurnSteps {
			return false, fmt.Errorf("%w: more than %d steps in one turn", ErrFinal, maxTurnSteps)
		}
		s := &f.flow.steps[f.pc]
		switch s.op {
		case opSay:
			t.say(s.say, sayDone)
		case opCollect:
			if t.collect(f, s) {
				return true, nil
			}
		case opConfirm:
			t.ask(f, confirmAsked, s.say)
			return true, nil
		case opSet:
			t.set(s)
		case opUnless:
			if !s.cond.eval(t).true() {
				f.pc = s.target
				continue
			}
		case opJump:
			f.pc = s.target
			continue
		case opModel:
			t.wantModel = true
			return false, nil
		case opCall:
			ends, err := t.invoke(ctx, f, s)
			if ends || err != nil {
				return false, err
			}
		}
		f.pc++
	}
	return false, nil
}

// ask puts a question; the number of tries goes on when it is asked again.
func (t *turn) ask(f *frame, asked string, question texts) {
	if f.Asked != asked {
		f.Asked, f.Tries = asked, 0
	}
	t.asks = asked
	t.say(question, sayRetry)
}

// collect asks for the first slot that is empty; true when it asked.
func (t *turn) collect(f *frame, s *step) bool {
	for _, name := range s.slots {
		if t.mem.Slots[name].kind == nilKind {
			t.pointed(t.a.def.slots[name])
		}
		if t.mem.Slots[name].kind == nilKind {
			t.ask(f, name, s.ask[name])
			return true
		}
	}
	f.Asked, f.Tries = "", 0
	return false
}

// pointed fills a slot from what was mentioned before, when the message points at it: "is that one left?".
func (t *turn) pointed(s *slot) {
	if s.entity == nil || s.asked || !t.a.lexicon.has(t.heard.tokens, t.a.lexicon.anaphors) {
		return
	}
	if seen, ok := t.mem.Seen[s.entity.name]; ok {
		if v, ok := s.accept(text(seen)); ok {
			t.mem.Slots[s.name] = v
		}
	}
}

func (t *turn) set(s *step) {
	for _, set := range s.sets {
		t.store(set.slot, set.expr.eval(t))
	}
}

// store puts a value into a slot; what does not fit empties it.
func (t *turn) store(name string, v value) {
	accepted, ok := t.a.def.slots[name].accept(v)
	if !ok {
		delete(t.mem.Slots, name)
		return
	}
	t.mem.Slots[name] = accepted
}

// invoke calls a tool; true when the flow ends with its fault.
func (t *turn) invoke(ctx context.Context, f *frame, s *step) (bool, error) {
	if s.tool.sideEffect && !f.Confirmed {
		// The definition was checked; only a memory that was written elsewhere comes here.
		t.say(nil, sayToolDown)
		return true, nil
	}
	t.called = append(t.called, s.tool.name)
	result, err := t.call(ctx, s)
	if err != nil && !errors.Is(err, errTool) {
		return false, err
	}
	if err != nil {
		t.a.log().Warn("tool failed", "tool", s.tool.name, "session", string(t.in.Session), "err", err)
		f.Result = value{}
		return t.toolFailed(s, err), nil
	}
	f.Result = result
	for name := range s.tool.returns {
		if t.a.def.slots[name] != nil {
			t.store(name, result.field(name))
		}
	}
	return false, nil
}

// toolFailed says so; true when the flow ends.
func (t *turn) toolFailed(s *step, err error) bool {
	switch {
	case errors.Is(err, errUnsettled):
		t.say(nil, sayUnknown)
		return true
	case s.onFail == nil:
		t.say(nil, sayToolDown)
		return true
	case s.onFail.say != nil:
		t.say(s.onFail.say, sayToolDown)
	}
	return s.onFail.end
}
