package histories

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience is how long one history may be judged; those here take milliseconds.
const patience = 2 * time.Minute

// Check judges a history together with what the sessions hold at the end, told by final: every entry of a session,
// oldest first. Each replica is asked once, so there may be several such maps. picture, when it is not empty, is
// a file for porcupine's drawing of a history that is refused.
func Check(ops []porcupine.Operation, picture string, final ...map[string][]Entry) error {
	var faults []error
	for _, f := range final {
		faults = append(faults, audit(ops, f)...)
	}
	ops = placed(narrow(bearing(ops, final)), final)
	result, info := porcupine.CheckOperationsVerbose(model, ops, patience)
	switch result {
	case porcupine.Ok:
	case porcupine.Unknown:
		faults = append(faults, fmt.Errorf("not judged within %v: too many calls of unknown outcome", patience))
	default:
		faults = append(faults, errors.New("the history is not linearizable"), stuck(info, ops), draw(info, picture))
	}
	return errors.Join(faults...)
}

// bearing leaves out what cannot decide anything: a read that nobody saw the end of, and an append of unknown outcome whose
// record no session holds at the end. Nothing is ever taken out of a session, so that append has not happened, which its
// outcome allows. Each that stays may double the search.
func bearing(ops []porcupine.Operation, final []map[string][]Entry) []porcupine.Operation {
	there := map[string]bool{}
	told := map[string]bool{}
	for _, f := range final {
		for id, entries := range f {
			told[id] = true
			for _, e := range entries {
				there[id+"\x00"+e.Record] = true
			}
		}
	}
	kept := make([]porcupine.Operation, 0, len(ops))
	for _, op := range ops {
		in, out := op.Input.(Input), op.Output.(Output)
		void := out.Unknown && (in.Kind != Append || told[in.Session] && !there[in.Session+"\x00"+in.Record])
		if !void {
			kept = append(kept, op)
		}
	}
	return kept
}

// stuck tells where the longest order of each session's calls ends, when it is not all of them.
func stuck(info porcupine.LinearizationInfo, ops []porcupine.Operation) error {
	var faults []error
	parts := partition(ops)
	for i, orders := range info.PartialLinearizationsOperations() {
		var longest []porcupine.Operation
		for _, o := range orders {
			if len(o) > len(longest) {
				longest = o
			}
		}
		if i >= len(parts) || len(longest) == len(parts[i]) {
			continue
		}
		state := any((*list)(nil))
		for _, op := range longest {
			_, state = model.Step(state, op.Input, op.Output)
		}
		faults = append(faults, fmt.Errorf("%s: %d of %d calls can be ordered; then it holds %s",
			parts[i][0].Input.(Input).Session, len(longest), len(parts[i]), model.DescribeState(state)))
	}
	return errors.Join(faults...)
}

func draw(info porcupine.LinearizationInfo, picture string) error {
	if picture == "" {
		return nil
	}
	f, err := os.Create(picture)
	if err != nil {
		return fmt.Errorf("picture of the history: %w", err)
	}
	if err := errors.Join(porcupine.Visualize(model, info, f), f.Close()); err != nil {
		return fmt.Errorf("picture of the history: %w", err)
	}
	return fmt.Errorf("see %s", picture)
}

// audit counts: what was acknowledged is there once, and nothing is there that nobody sent. porcupine finds the same, but
// says less about it.
func audit(ops []porcupine.Operation, final map[string][]Entry) (faults []error) {
	type key struct{ session, record string }
	sent, seen := map[key]bool{}, map[key]int{}
	for id, entries := range final {
		for _, e := range entries {
			seen[key{id, e.Record}]++
		}
	}
	acked := map[key]string{}
	for _, op := range ops {
		in, out := op.Input.(Input), op.Output.(Output)
		if in.Kind != Append {
			continue
		}
		k := key{in.Session, in.Record}
		sent[k] = true
		if !out.Unknown && !out.Conflict {
			acked[k] = out.Reply
		}
	}
	for k := range acked {
		if _, told := final[k.session]; told && seen[k] == 0 {
			faults = append(faults, fmt.Errorf("lost: %s in %s was acknowledged with %q", k.record, k.session, acked[k]))
		}
	}
	for k, n := range seen {
		switch {
		case n > 1:
			faults = append(faults, fmt.Errorf("%s is %d times in %s", k.record, n, k.session))
		case !sent[k]:
			faults = append(faults, fmt.Errorf("%s is in %s and was never sent", k.record, k.session))
		}
	}
	return faults
}
