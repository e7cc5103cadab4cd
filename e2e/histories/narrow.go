package histories

import "github.com/anishathalye/porcupine"

// narrow ends an append of unknown outcome when another call has told that the record is there: from then on it changes
// nothing, and one that was made later still is left out. An order of the calls that are left exists where one of all calls
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
	for _, op := range ops {
		in := op.Input.(Input)
		at, ok := there[key{in.Session, in.Record}]
		if ok && in.Kind == Append && op.Output.(Output).Unknown {
			if at < op.Call {
				continue
			}
			op.Return = min(op.Return, at)
		}
		kept = append(kept, op)
	}
	return kept
}
