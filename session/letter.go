package session

import "github.com/skein-mesh/skein"

// Letter reports whether the turn is a dead letter: it is dead, and no operator has dropped it.
func (t *Turn) Letter() bool { return t.Status == Dead && !t.Dropped }

// Letters counts the session's dead letters. They are among the turns that it keeps: a turn that newer ones have
// pushed out is no dead letter any more.
func (s *State) Letters() int {
	n := 0
	for i := range s.Turns {
		if s.Turns[i].Letter() {
			n++
		}
	}
	return n
}

// dead finds the turn when r is the attempt with which it died.
func (d *decision) dead(r Run) (*Turn, error) {
	t, ok := d.st.Turn(r.Turn)
	switch {
	case !ok:
		return nil, skein.Fault(skein.CodeConflict, "%s keeps no turn %s", d.cmd.Session, r.Turn)
	case t.Status != Dead:
		return nil, skein.Fault(skein.CodeConflict, "turn %s is not dead, it is %s", t.ID, t.Status)
	case t.Attempt != r.Attempt:
		return nil, skein.Fault(skein.CodeConflict, "turn %s died at attempt %d, not at %d", t.ID, t.Attempt, r.Attempt)
	}
	return t, nil
}

func (d *decision) retry(b Retry) error {
	if t, ok := d.st.Turn(b.Turn); ok && t.Retried > 0 && t.Retried == b.Attempt {
		d.duplicate = true // a proposal with an unknown outcome came again
		return nil
	}
	t, err := d.dead(b.Run)
	switch {
	case err != nil:
		return err
	case t.Dropped:
		return skein.Fault(skein.CodeConflict, "turn %s was dropped", t.ID)
	case d.st.Phase == PhaseClosed:
		return closedFault(d.cmd.Session)
	case t != d.st.Turns[len(d.st.Turns)-1]:
		return skein.Fault(skein.CodeConflict, "turn %s has a later turn behind it: the conversation has gone on", t.ID)
	}
	d.emit(Event{Kind: Retried, Turn: b.Turn, Attempt: b.Attempt})
	return nil
}

func (d *decision) drop(b Drop) error {
	t, err := d.dead(b.Run)
	switch {
	case err != nil:
		return err
	case t.Dropped:
		d.duplicate = true
		return nil
	}
	d.emit(Event{Kind: Dropped, Turn: b.Turn, Attempt: b.Attempt})
	return nil
}
