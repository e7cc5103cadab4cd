package replication

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// Serve answers the proposals and reads of another node on conn until the stream, ctx or the group ends.
func (g *Group) Serve(ctx context.Context, peer skein.NodeID, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	conn = &helloConn{Conn: conn, group: g}
	s := &server{group: g, conn: conn, out: newOutbox()}
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
	s.reads.Wait()
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
	group *Group
	conn  net.Conn
	out   *outbox
	under atomic.Int64 // requests that are under way, or whose response is not written yet
	reads sync.WaitGroup
}

func (s *server) read(ctx context.Context) error {
	r := bufio.NewReaderSize(s.conn, 32<<10)
	kind, err := r.ReadByte()
	if err != nil {
		return err
	}
	switch kind {
	case streamProposals, streamReads:
	case streamHashes:
		return s.group.tell(s.conn)
	case streamForming:
		return s.group.tellStanding(s.conn)
	default:
		return skein.Fault(skein.CodeVersion, "stream of kind %d", kind)
	}
	for {
		body, err := wire.ReadBody(r, wire.MaxNodeFrame)
		if err != nil {
			return err
		}
		if kind == streamProposals {
			err = s.proposal(body)
		} else {
			err = s.ask(ctx, body)
		}
		if err != nil {
			return err
		}
		for s.out.full() { // the peer does not read what it asks for
			select {
			case <-s.out.room:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func busy() *wire.Error {
	return &wire.Error{Code: uint32(skein.CodeOverloaded), Detail: "too many requests on this stream", RetryAfterMs: 100}
}

// enter counts a request, and is false when too many are under way.
func (s *server) enter() bool { return s.under.Add(1) <= maxCalls }

// proposal commits what a peer proposes. Nobody waits here: the answer is queued where the entry is applied. Without
// commands it only says who leads.
func (s *server) proposal(body []byte) error {
	req := &request{}
	if err := req.parse(body); err != nil {
		return err
	}
	resp := &wire.ProposeResponse{Id: req.id}
	if !s.enter() {
		resp.Error = busy()
		s.push(resp)
		return nil
	}
	g := s.group
	resp.Leader = string(g.told())
	if len(req.commands) == 0 {
		s.push(resp)
		return nil
	}
	p, err := req.proposal()
	if err == nil {
		p.answer = func(a answer) { s.answer(req, resp, a) }
		err = g.enqueue(p)
	}
	if err != nil {
		s.answer(req, resp, answer{err: err})
	}
	return nil
}

// told gives the leader that others are told of: none when this node has not heard of it lately.
func (g *Group) told() skein.NodeID {
	if !g.hears(g.raft.Load()) {
		return ""
	}
	return g.lead.leader()
}

// proposal checks the commands: one that cannot be read must not get into the log.
func (r *request) proposal() (*proposal, error) {
	p := &proposal{commands: r.commands}
	for _, buf := range r.commands {
		c, err := decodeCommand(buf)
		if err != nil || c.GetTick() != nil || c.GetCalendar() != nil || c.GetBody() == nil {
			return nil, skein.Fault(skein.CodeMalformed, "a forwarded command cannot be read, has no body, or is a clock's")
		}
		p.size += len(buf)
	}
	if p.size > maxProposalBytes {
		return nil, skein.Fault(skein.CodeTooLarge, "a proposal has at most %d bytes", maxProposalBytes)
	}
	return p, nil
}

// answer queues the response to a proposal.
func (s *server) answer(req *request, resp *wire.ProposeResponse, a answer) {
	size := 0
	for i := range a.results {
		w := stepToWire(&a.results[i], req.heldAt(i))
		if w.State != nil {
			size += w.SizeVT()
		}
		if size += 64; size > wire.MaxNodeFrame-4096 {
			break // the sender proposes the rest again; what is applied is dropped as a repeat
		}
		resp.Results = append(resp.Results, w)
	}
	resp.Error = wire.FromError(overWire(a.err))
	s.push(resp)
}

// push queues a response. One that has no encoding ends the stream, so that its sender does not wait for it.
func (s *server) push(resp proto.Message) {
	if err := s.out.push(framed(resp)); err != nil {
		s.group.log.Error("a response cannot be encoded", "err", err)
		s.conn.Close()
	}
}

// ask answers a read beside the reader, since it may wait long, or refuses when too many run already.
func (s *server) ask(ctx context.Context, body []byte) error {
	req := &wire.ReadRequest{}
	if err := proto.Unmarshal(body, req); err != nil {
		return errFrame
	}
	if !s.enter() {
		s.push(&wire.ReadResponse{Id: req.Id, Error: busy()})
		return nil
	}
	limit := waitAtMost
	if req.WaitMs > 0 {
		limit = min(limit, time.Duration(min(req.WaitMs, waitAtMost.Milliseconds()))*time.Millisecond)
	}
	s.reads.Go(func() {
		one, cancel := context.WithTimeout(ctx, limit)
		resp := s.group.answerRead(one, req)
		cancel()
		s.push(resp)
	})
	return nil
}

func (s *server) write(ctx context.Context, cancel context.CancelFunc) {
	for {
		select {
		case <-s.out.wake:
			buf, n := s.out.take()
			s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := s.conn.Write(buf); err != nil {
				cancel()
				return
			}
			s.under.Add(-int64(n))
		case <-ctx.Done():
			return
		}
	}
}

// answerRead reads the local replica for a peer.
func (g *Group) answerRead(ctx context.Context, req *wire.ReadRequest) *wire.ReadResponse {
	resp := &wire.ReadResponse{Id: req.Id}
	id := skein.SessionID(req.Session)
	if f := freshness(req); !plain(f) || req.Query != nil {
		err := g.answerFresh(ctx, req, f, resp)
		resp.Error = wire.FromError(overWire(err))
		return resp
	}
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
