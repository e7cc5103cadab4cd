package replication

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// Bounds of the states that a proposer holds, so that the leader need not send them back.
const (
	heldStates = 8192
	heldBytes  = 32 << 20
)

// held is the newest state that this node was told of each session it proposes for. A leader whose session stood at
// that sequence number before the command answers with the time alone, and session.Apply gives the rest.
type held struct {
	mu     sync.Mutex // guards the fields below
	states *simplelru.LRU[skein.SessionID, *session.State]
	bytes  int
}

func newHeld() *held {
	h := &held{}
	h.states, _ = simplelru.NewLRU(heldStates, func(_ skein.SessionID, st *session.State) { h.bytes -= stateSize(st) }) // fails only for a size below 1
	return h
}

func (h *held) get(id skein.SessionID) *session.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	st, _ := h.states.Get(id)
	return st
}

// put keeps st unless a newer state is held.
func (h *held) put(st *session.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.states.Peek(st.ID); ok {
		if old.Seq >= st.Seq {
			return
		}
		h.bytes -= stateSize(old)
	}
	h.bytes += stateSize(st)
	h.states.Add(st.ID, st)
	for h.bytes > heldBytes && h.states.Len() > 1 {
		h.states.RemoveOldest()
	}
}

func (h *held) drop(id skein.SessionID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states.Remove(id)
}

// stateSize estimates the bytes of memory that st takes.
func stateSize(st *session.State) int {
	n := 256 + len(st.Memory) + 64*len(st.Marks)
	for i := range st.Turns {
		t := st.Turns[i]
		n += 400 + len(t.Text) + len(t.Reply) + len(t.Reason)
		for j := range t.Calls {
			n += 128 + len(t.Calls[j].Args) + len(t.Calls[j].Result)
		}
	}
	return n
}

// stepToWire gives the result of a command, without the state when its sender held the one before it.
func stepToWire(r *session.Result, had skein.Seq) *wire.CommandResult {
	w := &wire.CommandResult{Duplicate: r.Duplicate, Error: wire.FromError(r.Err)}
	if had == 0 || had != r.Follows || r.State == nil {
		w.State = stateToWire(r.State)
		return w
	}
	w.Clock, w.CalendarMs = int64(r.Now.Clock), int64(r.Now.Calendar)
	w.Seq, w.Sum = uint64(r.State.Seq), r.State.Sum()
	return w
}

// step gives the result of command i from what the leader answered.
func (g *Group) step(ctx context.Context, c *attempted, i int, w *wire.CommandResult) (session.Result, error) {
	r := session.Result{Duplicate: w.GetDuplicate(), Err: w.GetError().Fault()}
	if w.GetSeq() == 0 {
		if r.State = stateFromWire(w.GetState()); r.State != nil {
			g.held.put(r.State)
		}
		return r, nil
	}
	if own := c.held[i]; own != nil {
		_, mine := session.Apply(own, c.commands[i], session.Now{Clock: session.Committed(w.GetClock()), Calendar: session.Calendar(w.GetCalendarMs())})
		if st := mine.State; uint64(st.Seq) == w.GetSeq() && st.Sum() == w.GetSum() && mine.Duplicate == r.Duplicate && skein.CodeOf(mine.Err) == skein.CodeOf(r.Err) {
			g.held.put(st)
			r.State = st
			return r, nil
		}
		g.log.Warn("a session that this node holds is not what the leader has; it is read again", "session", own.ID, "seq", own.Seq)
		g.held.drop(own.ID)
	}
	st, err := g.Read(ctx, c.commands[i].Session, skein.Seq(w.GetSeq()-1))
	if err != nil {
		return r, skein.Fault(skein.CodeUnknownOutcome, "committed, but not read back: %v", err)
	}
	g.held.put(st)
	r.State = st
	return r, nil
}
