package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

const (
	freshLag   = 64               // entries that a replica may lag and still answer reads
	waitAtMost = 30 * time.Second // how long a forwarded read waits at the replica before it is asked again
)

// Read gives a session once its sequence number is above after; with after 0 any state that there is. It reads
// the local replica when that has caught up, otherwise another node's. Whether a session exists is decided by the
// leader: the error is then skein.ErrUnknownSession. Otherwise it is skein.ErrNoQuorum, and ctx's cause as well when that
// has ended, or skein.ErrOverloaded when too many readers wait.
func (g *Group) Read(ctx context.Context, id skein.SessionID, after skein.Seq) (*session.State, error) {
	var st *session.State
	err := g.reading(ctx, func() (err error) {
		if st, err = g.readHere(ctx, id, after); !errors.Is(err, errNotLeader) {
			return err
		}
		resp, err := g.askReplica(ctx, &wire.ReadRequest{Session: string(id), After: uint64(after), WaitMs: remaining(ctx)})
		if err == nil {
			st = stateFromWire(resp.State)
		}
		return err
	})
	return st, err
}

// History gives kept events of a session with a sequence number above after, oldest first; limit is at most 500.
// An empty page is the end. Errors are those of Read.
func (g *Group) History(ctx context.Context, id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error) {
	if limit <= 0 {
		return nil, skein.Fault(skein.CodeMalformed, "limit %d: want 1 to %d", limit, maxHistory)
	}
	limit = min(limit, maxHistory)
	var events []session.Event
	err := g.reading(ctx, func() (err error) {
		if events, err = g.historyHere(ctx, id, after, limit); !errors.Is(err, errNotLeader) {
			return err
		}
		req := &wire.ReadRequest{Session: string(id), HistoryAfter: uint64(after), HistoryLimit: uint32(limit), WaitMs: remaining(ctx)}
		resp, err := g.askReplica(ctx, req)
		if err == nil {
			events = make([]session.Event, len(resp.Events))
			for i, w := range resp.Events {
				events[i] = eventFromWire(w)
			}
		}
		return err
	})
	return events, err
}

// reading tries f again until it gives an answer.
func (g *Group) reading(ctx context.Context, f func() error) error {
	retry := retrier{group: g}
	for {
		err := f()
		if err == nil || !retry.again(err) {
			return err
		}
		retry.unknown = false // a read changes nothing
		if !retry.pause(ctx) {
			return g.unread(ctx, err)
		}
	}
}

// unread is the error of a read after the last try. When ctx has ended it is ctx's as well, and what the last try said
// is left out: a call that was given up calls itself of unknown outcome, which a read has not.
func (g *Group) unread(ctx context.Context, last error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", skein.Fault(skein.CodeNoQuorum, "group %d: not read in time", g.cfg.Group), cause)
	}
	return skein.Fault(skein.CodeNoQuorum, "group %d: this node is stopping (%v)", g.cfg.Group, last)
}

// fresh reports whether the local replica may answer reads.
func (g *Group) fresh() bool {
	r := g.raft.Load()
	if r == nil || g.outcast.Load() {
		return false
	}
	if r.State() == raft.Leader {
		return g.leadsWell(r)
	}
	self := func(s raft.Server) bool { return s.ID == raft.ServerID(g.cfg.Node) }
	return g.hears(r) && r.AppliedIndex()+freshLag >= g.transport.ahead.Load() &&
		slices.ContainsFunc(r.GetConfiguration().Configuration().Servers, self)
}

// readHere reads the local replica; errNotLeader when another node has to be asked.
func (g *Group) readHere(ctx context.Context, id skein.SessionID, after skein.Seq) (*session.State, error) {
	look := time.NewTimer(quorumFresh)
	defer look.Stop()
	for {
		if !g.fresh() {
			return nil, errNotLeader
		}
		changed, leave, err := g.disk.store.watch(id)
		if err != nil {
			return nil, err
		}
		st, err := g.existing(ctx, id)
		if err != nil || st.Seq > after {
			leave()
			return st, err
		}
		look.Reset(quorumFresh) // a replica that is cut off does not hear of the change
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", errNotLeader, context.Cause(ctx))
		case <-g.closing:
			err = errNotLeader
		}
		leave()
		if err != nil {
			return nil, err
		}
	}
}

// existing gives a session that the local replica holds. Only a leader that has applied everything committed
// may say that there is none.
func (g *Group) existing(ctx context.Context, id skein.SessionID) (*session.State, error) {
	st, err := g.disk.store.get(id)
	if st != nil || err != nil {
		return st, err
	}
	if err := g.barrier(ctx); err != nil {
		if errors.Is(err, errUnknown) { // a marker has no outcome to be unknown
			err = errNotLeader
		}
		return nil, err
	}
	if st, err = g.disk.store.get(id); st != nil || err != nil {
		return st, err
	}
	return nil, skein.Fault(skein.CodeUnknownSession, "%.80q was never opened", string(id))
}

func (g *Group) historyHere(ctx context.Context, id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error) {
	if !g.fresh() {
		return nil, errNotLeader
	}
	st, err := g.existing(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := st.Allow(st.Subject); err != nil { // its text is deleted
		return nil, err
	}
	return g.disk.store.history(id, after, limit)
}

// askReplica sends a read to the leader.
func (g *Group) askReplica(ctx context.Context, req *wire.ReadRequest) (*wire.ReadResponse, error) {
	changed := g.LeaderChanged()
	leader, err := g.findLeader(ctx)
	if err != nil {
		return nil, err
	}
	req.Id = g.links.ids.Add(1)
	body, err := g.links.call(ctx, linkKey{leader, streamReads}, call{req.Id, framed(req)}, changed)
	if err != nil {
		return nil, g.unanswered(ctx, leader, err)
	}
	resp := &wire.ReadResponse{}
	if err := proto.Unmarshal(body, resp); err != nil {
		return nil, errors.Join(errNotLeader, errFrame)
	}
	if err := resp.Error.Fault(); err != nil {
		return nil, err
	}
	return resp, nil
}
