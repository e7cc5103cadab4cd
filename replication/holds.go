package replication

import (
	"sync"
	"time"
)

// keepStill is how long a follower's entries are kept that takes none of them.
const keepStill = time.Minute

// holds says which entries the log must still have: those behind a snapshot that somebody reads, and those that a
// follower needs which has received one. Without it the log is cut while the snapshot travels, the follower finds a
// hole behind it, and gets the next one, for ever.
type holds struct {
	mu   sync.Mutex // guards held
	held map[string]kept
}

type kept struct {
	from  uint64
	moved time.Time // zero: until it is given up
}

// take keeps the entries from an index on for who; the function returned gives them up.
func (h *holds) take(who string, from uint64) (giveUp func()) {
	h.set(who, kept{from: from})
	return func() { h.drop(who) }
}

// follow keeps the entries from an index on for a follower as long as it goes on.
func (h *holds) follow(who string, from uint64, now time.Time) { h.set(who, kept{from, now}) }

func (h *holds) set(who string, e kept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[string]kept{}
	}
	h.held[who] = e
}

func (h *holds) drop(who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, who)
}

// confirmed notes that a follower has the entries up to match, all that there are when atEnd.
func (h *holds) confirmed(who string, match uint64, atEnd bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, found := h.held[who]
	switch {
	case !found || e.moved.IsZero():
	case atEnd:
		delete(h.held, who)
	case match > e.from:
		h.held[who] = kept{match, now}
	}
}

// from gives the first entry that must stay, 0 when none has to.
func (h *holds) from(now time.Time) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	least := uint64(0)
	for who, e := range h.held {
		if !e.moved.IsZero() && now.Sub(e.moved) > keepStill {
			delete(h.held, who)
		} else if least == 0 || e.from < least {
			least = e.from
		}
	}
	return least
}
