package histories

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what a client asks of a session.
type Kind uint8

// An Append adds a record, or finds it there. A Read shows everything that was acknowledged before it began. A Look may be
// behind that, but not behind the number of records that it names.
const (
	Append Kind = iota + 1
	Read
	Look
)

// Input is one call of a client.
type Input struct {
	Kind    Kind
	Session string
	Record  string // Append: unique within the session; a retry has the same. Read: one that has to be shown
	Reply   string // Append: the reply offered with the record; of several calls the first one's is kept
	Expect  int    // Append: the number of records that it follows; negative: any
	AtLeast int    // Look: records that it has to show

	place int // Append: of the record at the end, from 1; 0: not known
}

// Entry is a record of a session and the reply that was given to it.
type Entry struct{ Record, Reply string }

// Expired stands for a reply that is no longer kept.
const Expired = "\x00expired"

// Output is what a client was told. The zero value with Unknown is an outcome that nobody knows.
type Output struct {
	Unknown  bool
	Refused  bool    // Append: nothing was written, now or later
	Conflict bool    // Append: refused, the session did not stand at Expect
	Repeat   bool    // Append: the record was there; false proves that it was not
	Reply    string  // Append: the one kept
	Count    int     // records in the session afterwards; negative: not told
	Tail     []Entry // the newest of them, oldest first; none: not told
}

// Recorder collects a history. The zero value is ready; it may be used from several goroutines.
type Recorder struct {
	mu    sync.Mutex // guards the fields below
	start time.Time
	now   int64
	ops   []porcupine.Operation
}

// tick gives the next instant: the clock's, but never the same twice, since virtual time stands still between two calls.
func (r *Recorder) tick() int64 {
	if r.start.IsZero() {
		r.start = time.Now()
	}
	r.now = max(r.now+1, int64(time.Since(r.start)))
	return r.now
}

// Do records one call: f makes it.
func (r *Recorder) Do(client int, in Input, f func() Output) Output {
	r.mu.Lock()
	op := porcupine.Operation{ClientId: client, Input: in, Call: r.tick()}
	r.mu.Unlock()
	out := f()
	r.mu.Lock()
	defer r.mu.Unlock()
	op.Return = r.tick()
	if in.Kind == Append && out.Repeat { // what it did and what it shows may be apart: the node that was asked tries again on its own
		shown := op
		shown.Input, shown.Output = Input{Kind: Read, Session: in.Session, Record: in.Record}, Output{Count: out.Count, Tail: out.Tail}
		r.ops = append(r.ops, shown)
		out.Count, out.Tail = -1, nil
	}
	op.Output = out
	switch {
	case out.Refused || out.Unknown && in.Kind != Append: // it changed nothing and says nothing
		return out
	case out.Unknown:
		op.Return = math.MaxInt64
	}
	r.ops = append(r.ops, op)
	return out
}

// Len is how many calls were recorded.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// Operations gives the calls so far.
func (r *Recorder) Operations() []porcupine.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}
