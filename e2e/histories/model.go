package histories

import (
	"fmt"
	"hash/fnv"

	"github.com/anishathalye/porcupine"
)

// list is the state of a session: the newest entry and the list before it. nil is the empty one. It is never changed.
type list struct {
	Entry
	n      int
	hash   uint64 // of all entries
	before *list
}

func (l *list) len() int {
	if l == nil {
		return 0
	}
	return l.n
}

func (l *list) sum() uint64 {
	if l == nil {
		return 0
	}
	return l.hash
}

func (l *list) add(e Entry) *list {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %q %q", l.sum(), e.Record, e.Reply)
	return &list{Entry: e, n: l.len() + 1, hash: h.Sum64(), before: l}
}

func (l *list) find(record string) *list {
	for ; l != nil; l = l.before {
		if l.Record == record {
			return l
		}
	}
	return nil
}

// first gives the list as it was with n entries.
func (l *list) first(n int) *list {
	for l.len() > n {
		l = l.before
	}
	return l
}

// ends reports whether tail is the end of the list.
func (l *list) ends(tail []Entry) bool {
	for i := len(tail) - 1; i >= 0; i-- {
		if l == nil || l.Entry != tail[i] {
			return false
		}
		l = l.before
	}
	return true
}

// shows reports whether an output tells nothing but this list.
func (l *list) shows(out Output) bool {
	return (out.Count < 0 || out.Count == l.len()) && l.ends(out.Tail)
}

// step says whether the session can answer in with out, and what it is afterwards.
func (l *list) step(in Input, out Output) (bool, *list) {
	switch in.Kind {
	case Append:
		return l.append(in, out)
	case Read:
		return (in.Record == "" || l.find(in.Record) != nil) && l.shows(out), l
	case Look:
		if out.Count < in.AtLeast || out.Count > l.len() {
			return false, l
		}
		return l.first(out.Count).shows(out), l
	}
	return false, l
}

func (l *list) append(in Input, out Output) (bool, *list) {
	there := l.find(in.Record)
	fits := in.Expect < 0 || in.Expect == l.len()
	next := l
	if there == nil && in.place > 0 && (out.Unknown || !out.Conflict) && (!fits || l.len() != in.place-1) {
		return false, l // not yet: one that does nothing now does nothing later either, when the record is there
	}
	if there == nil && fits {
		next = l.add(Entry{in.Record, in.Reply})
	}
	switch {
	case out.Unknown:
		return true, next
	case there != nil: // a repeat tells the first reply, and the session as it stands now
		return !out.Conflict && out.Repeat && out.tells(there.Reply) && l.shows(out), l
	case !fits:
		return out.Conflict && l.shows(out), l
	}
	// Repeat may be set all the same: the node that was asked tries again on its own.
	return !out.Conflict && out.tells(in.Reply) && next.shows(out), next
}

// tells reports whether the reply told is that one, or was no longer kept when the repeat came.
func (o Output) tells(reply string) bool { return o.Reply == reply || o.Repeat && o.Reply == Expired }

// model is a session for porcupine; sessions are judged apart.
var model = porcupine.Model{
	Partition: partition,
	Init:      func() any { return (*list)(nil) },
	Step: func(state, in, out any) (bool, any) {
		ok, next := state.(*list).step(in.(Input), out.(Output))
		return ok, next
	},
	Equal: func(a, b any) bool {
		x, y := a.(*list), b.(*list)
		return x.len() == y.len() && x.sum() == y.sum()
	},
	Hash:              func(s any) uint64 { return s.(*list).sum() },
	DescribeOperation: describe,
	DescribeState: func(s any) string {
		l := s.(*list)
		if l == nil {
			return "empty"
		}
		return fmt.Sprintf("%d, last %s", l.n, l.Record)
	},
}

func partition(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	at := map[string]int{}
	for _, op := range ops {
		id := op.Input.(Input).Session
		i, ok := at[id]
		if !ok {
			i = len(parts)
			at[id] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

func describe(in, out any) string {
	i, o := in.(Input), out.(Output)
	var call string
	switch i.Kind {
	case Append:
		call = fmt.Sprintf("append %s", i.Record)
		if i.Expect >= 0 {
			call += fmt.Sprintf(" behind %d", i.Expect)
		}
	case Read:
		call = "read"
	default:
		call = fmt.Sprintf("look from %d on", i.AtLeast)
	}
	switch {
	case o.Unknown:
		return call + ": unknown"
	case o.Conflict:
		return fmt.Sprintf("%s: conflict, %d records", call, o.Count)
	case i.Kind == Append:
		return fmt.Sprintf("%s: %q, %d records, repeat %v", call, o.Reply, o.Count, o.Repeat)
	}
	last := ""
	if n := len(o.Tail); n > 0 {
		last = o.Tail[n-1].Record
	}
	return fmt.Sprintf("%s: %d records, last %s", call, o.Count, last)
}
