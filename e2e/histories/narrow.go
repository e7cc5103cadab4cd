package histories

import (
	"slices"

	"github.com/anishathalye/porcupine"
)

// narrow ends an append of unknown outcome when another call has told that the record is there: from then on it changes
// nothing, and one that was made later still is left out; so is one that a client made again in the same words, as the first
// may take effect as late. An order of the calls that are left exists where one of all calls
// does, and is found much sooner: each call without an end may double the search.
func narrow(ops []porcupine.Operation) []porcupine.Operation {
	type key struct{ session, record string }
	there := map[key]int64{} // when it was first told
	for _, op := range ops {
		in, out := op.Input.(Input), op.Output.(Output)
		if in.Kind != Append || out.Unknown || out.Conflict {
			continue
		}
		k := key{in.Session, in.Record}
		if at, ok := there[k]; !ok || op.Return < at {
			there[k] = op.Return
		}
	}
	kept := make([]porcupine.Operation, 0, len(ops))
	first := map[Input]bool{}
	for _, op := range ops { // by the time of their end, those of one client in order
		in := op.Input.(Input)
		if in.Kind == Append && op.Output.(Output).Unknown {
			at, ok := there[key{in.Session, in.Record}]
			if first[in] || ok && at < op.Call {
				continue
			}
			first[in] = true
			if ok {
				op.Return = min(op.Return, at)
			}
		}
		kept = append(kept, op)
	}
	return kept
}

// placed tells appends where their records are at the end, when everybody says the same: records keep their order, so the
// search need not find it out.
func placed(ops []porcupine.Operation, final []map[string][]Entry) []porcupine.Operation {
	type key struct{ session, record string }
	places := map[key]int{}
	for _, f := range final {
		for id, entries := range f {
			if !slices.Equal(entries, final[0][id]) {
				return ops
			}
			for i, e := range entries {
				places[key{id, e.Record}] = i + 1
			}
		}
	}
	ops = slices.Clone(ops)
	for i := range ops {
		if in := ops[i].Input.(Input); in.Kind == Append {
			in.place = places[key{in.Session, in.Record}]
			ops[i].Input = in
		}
	}
	return ops
}
