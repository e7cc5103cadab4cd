package replication

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// horizon is how far the log was known to be at some moment: what was committed before asOf has an index up to index.
type horizon struct {
	mu    sync.Mutex // guards the fields below
	asOf  time.Time
	index uint64
}

// learn takes in that the log was at index when a question that was asked at asOf was answered.
func (h *horizon) learn(asOf time.Time, index uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if asOf.After(h.asOf) {
		h.asOf, h.index = asOf, max(h.index, index)
	}
}

// get gives what is known and how old it is; the index is 0 while nothing is.
func (h *horizon) get() (index uint64, age time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.index, time.Since(h.asOf)
}

// plain reports whether what a replica has that is in touch with its leader is new enough.
func plain(f session.Freshness) bool { return f == session.Freshness{} }

// enough reports whether the local replica may answer a read that asks for f without asking anybody.
func (g *Group) enough(f session.Freshness) bool {
	if !g.fresh() || f.Latest {
		return false
	}
	if f.MaxAge <= 0 {
		return true
	}
	index, age := g.horizon.get()
	return index > 0 && age <= f.MaxAge && g.disk.store.mark().index >= index
}

// settle makes the local replica new enough for f when it leads, with a marker; errNotLeader when another node has to be asked.
func (g *Group) settle(ctx context.Context, f session.Freshness) error {
	if g.enough(f) {
		return nil
	}
	if plain(f) {
		return errNotLeader
	}
	asked := time.Now()
	if err := g.barrier(ctx); err != nil {
		if errors.Is(err, errUnknown) { // a marker has no outcome to be unknown
			err = errNotLeader
		}
		return err
	}
	g.horizon.learn(asked, g.disk.store.mark().index)
	return nil
}

// ReadFresh gives a session as new as f asks for. Errors are those of Read.
func (g *Group) ReadFresh(ctx context.Context, id skein.SessionID, f session.Freshness) (*session.State, error) {
	var st *session.State
	err := g.reading(ctx, func() (err error) {
		if st, err = g.readFreshHere(ctx, id, f); !errors.Is(err, errNotLeader) {
			return err
		}
		resp, err := g.askFresh(ctx, &wire.ReadRequest{Session: string(id)}, f)
		if err == nil {
			st = stateFromWire(resp.State)
		}
		return err
	})
	return st, err
}

func (g *Group) readFreshHere(ctx context.Context, id skein.SessionID, f session.Freshness) (*session.State, error) {
	if err := g.settle(ctx, f); err != nil {
		return nil, err
	}
	return g.existing(ctx, id)
}

// askFresh sends a read to the leader, and learns from its answer how far the log is.
func (g *Group) askFresh(ctx context.Context, req *wire.ReadRequest, f session.Freshness) (*wire.ReadResponse, error) {
	req.WaitMs, req.Latest, req.MaxAgeMs = remaining(ctx), f.Latest, f.MaxAge.Milliseconds()
	if f.MaxAge > 0 {
		req.MaxAgeMs = max(req.MaxAgeMs, 1)
	}
	asked := time.Now()
	resp, err := g.askReplica(ctx, req)
	if err == nil && resp.Horizon > 0 { // as old as the leader says, when it got the question or later
		age := time.Duration(min(max(resp.HorizonAgeMs, 0), time.Hour.Milliseconds())) * time.Millisecond
		g.horizon.learn(asked.Add(-age), resp.Horizon)
	}
	return resp, err
}

// tellHorizon adds to an answer how far the log was known to be, for whoever asks with an age.
func (g *Group) tellHorizon(f session.Freshness, resp *wire.ReadResponse) {
	if plain(f) {
		return
	}
	index, age := g.horizon.get()
	resp.Horizon, resp.HorizonAgeMs = index, (age + time.Millisecond - 1).Milliseconds()
}

// freshness reads what a peer asks for.
func freshness(req *wire.ReadRequest) session.Freshness {
	const most = int64(time.Hour / time.Millisecond)
	return session.Freshness{Latest: req.Latest, MaxAge: time.Duration(min(max(req.MaxAgeMs, 0), most)) * time.Millisecond}
}
