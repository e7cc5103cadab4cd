package replication

import (
	"context"
	"sync"

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
	mu     sync.Mutex // guards states
	states *cache[*session.State]
}

func newHeld() *held { return &held{states: newCache(heldStates, heldBytes, sizeOf)} }

func (h *held) get(id skein.SessionID) *session.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	st, _ := h.states.get(id)
	return st
}

// put keeps st unless a newer state is held.
func (h *held) put(st *session.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.states.get(st.ID); !ok || old.Seq < st.Seq {
		h.states.put(st.ID, st)
	}
}

func (h *held) drop(id skein.SessionID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states.drop(id)
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
