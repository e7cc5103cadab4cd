package replication

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// serveAtMost is how long a forwarded proposal waits for its commit before its sender hears that the outcome is unknown.
const serveAtMost = 10 * time.Second

// Serve answers the proposals and reads of another node on conn until the stream, ctx or the group ends.
func (g *Group) Serve(ctx context.Context, peer skein.NodeID, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{group: g, conn: conn, out: make(chan message), calls: make(chan struct{}, maxCalls)}
	var guard sync.WaitGroup
	guard.Go(func() {
		select {
		case <-ctx.Done():
		case <-g.closing:
			cancel()
		}
		conn.Close()
	})
	guard.Go(func() { s.write(ctx, cancel) })
	if err := s.read(ctx); ctx.Err() == nil {
		if g.cfg.Unreadable != nil && unreadable(err) {
			g.cfg.Unreadable()
		}
		g.log.Debug("stream of a peer ended", "peer", peer, "err", err)
	}
	cancel()
	s.handlers.Wait()
	guard.Wait()
}

// unreadable tells a frame that breaks the protocol from a stream that has ended.
func unreadable(err error) bool {
	switch skein.CodeOf(err) {
	case skein.CodeMalformed, skein.CodeTooLarge, skein.CodeVersion:
		return true
	}
	return false
}

// server is one stream of a peer.
type server struct {
	group    *Group
	conn     net.Conn
	out      chan message
	calls    chan struct{} // one token a request under way
	handlers sync.WaitGroup
}

func (s *server) read(ctx context.Context) error {
	r := bufio.NewReaderSize(s.conn, 32<<10)
	kind, err := r.ReadByte()
	if err != nil {
		return err
	}
	for {
		switch kind {
		case streamProposals:
			req := &wire.ProposeRequest{}
			if err := wire.ReadFrame(r, req, wire.MaxNodeFrame); err != nil {
				return err
			}
			s.handle(ctx, req.TimeoutMs, &wire.ProposeResponse{Id: req.Id, Error: busy}, func(ctx context.Context) message {
				return s.group.answerProposal(ctx, req)
			})
		case streamReads:
			req := &wire.ReadRequest{}
			if err := wire.ReadFrame(r, req, wire.MaxNodeFrame); err != nil {
				return err
			}
			s.handle(ctx, req.WaitMs, &wire.ReadResponse{Id: req.Id, Error: busy}, func(ctx context.Context) message {
				return s.group.answerRead(ctx, req)
			})
		case streamHashes:
			return s.group.tell(s.conn)
		case streamForming:
			return s.group.tellStanding(s.conn)
		default:
			return skein.Fault(skein.CodeVersion, "stream of kind %d", kind)
		}
	}
}

var busy = &wire.Error{Code: uint32(skein.CodeOverloaded), Detail: "too many requests on this stream", RetryAfterMs: 100}

// handle runs f beside the reader, or answers refuse when too many run already.
func (s *server) handle(ctx context.Context, ms int64, refuse message, f func(context.Context) message) {
	select {
	case s.calls <- struct{}{}:
	default:
		s.send(ctx, refuse)
		return
	}
	limit := serveAtMost
	if _, read := refuse.(*wire.ReadResponse); read {
		limit = waitAtMost
	}
	if ms > 0 {
		limit = min(limit, time.Duration(min(ms, waitAtMost.Milliseconds()))*time.Millisecond)
	}
	s.handlers.Go(func() {
		defer func() { <-s.calls }()
		one, cancel := context.WithTimeout(ctx, limit)
		resp := f(one)
		cancel()
		s.send(ctx, resp)
	})
}

// send passes a response to the writer, which takes until the stream ends.
func (s *server) send(ctx context.Context, m message) {
	select {
	case s.out <- m:
	case <-ctx.Done():
	}
}

func (s *server) write(ctx context.Context, cancel context.CancelFunc) {
	var buf []byte
	for {
		select {
		case m := <-s.out:
			var err error
			if buf, err = gather(buf[:0], m, s.out); err == nil {
				s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
				_, err = s.conn.Write(buf)
			}
			if err != nil {
				cancel()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// answerProposal commits what a peer proposes. Without commands it only says who leads.
func (g *Group) answerProposal(ctx context.Context, req *wire.ProposeRequest) message {
	resp := &wire.ProposeResponse{Id: req.Id}
	if r := g.raft.Load(); g.hears(r) {
		resp.Leader = string(g.lead.leader())
	}
	if len(req.Commands) == 0 {
		return resp
	}
	for _, c := range req.Commands {
		if c.GetTick() != nil || c.GetCalendar() != nil || c.GetBody() == nil {
			resp.Error = wire.FromError(skein.Fault(skein.CodeMalformed, "a forwarded command has no body, or is a clock's"))
			return resp
		}
	}
	p, err := newProposal(req.Commands)
	if err == nil {
		results, failed := g.submit(ctx, p)
		err = failed
		size := 0
		for i := range results {
			w := resultToWire(&results[i])
			if size += proto.Size(w) + 8; size > wire.MaxNodeFrame-4096 {
				break // the sender proposes the rest again; what is applied is dropped as a repeat
			}
			resp.Results = append(resp.Results, w)
		}
	}
	resp.Error = wire.FromError(overWire(err))
	return resp
}

// answerRead reads the local replica for a peer.
func (g *Group) answerRead(ctx context.Context, req *wire.ReadRequest) message {
	resp := &wire.ReadResponse{Id: req.Id}
	id := skein.SessionID(req.Session)
	if req.HistoryLimit == 0 {
		st, err := g.readHere(ctx, id, skein.Seq(req.After))
		resp.State, resp.Error = stateToWire(st), wire.FromError(overWire(err))
		return resp
	}
	events, err := g.historyHere(ctx, id, skein.Seq(req.HistoryAfter), int(min(req.HistoryLimit, maxHistory)))
	for i := range events {
		resp.Events = append(resp.Events, eventToWire(&events[i]))
	}
	resp.Error = wire.FromError(overWire(err))
	return resp
}

// overWire gives the errors that callers retry their codes.
func overWire(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotLeader):
		return skein.Fault(skein.CodeNoQuorum, "%v", err)
	case errors.Is(err, errUnknown):
		return skein.Fault(skein.CodeUnknownOutcome, "%v", err)
	}
	return err
}
