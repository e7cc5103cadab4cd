package replication

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Limits of the leader's queue.
const (
	queueProposals = 4096     // that wait for a log entry
	queueBytes     = 16 << 20 // of them
	eagerEntries   = 2        // while fewer entries are on their way, the next goes at once
	maxEntries     = 8        // on their way at most
	lingerFor      = time.Millisecond
	enqueueTimeout = time.Second // for raft to take an entry
)

// errNotLeader is a definite no: nothing was written.
var errNotLeader = errors.New("this node does not lead")

// errUnknown wraps what leaves open whether a proposal will be applied.
var errUnknown = errors.New("the outcome is unknown")

// proposal is commands that go into one log entry together. Without commands it is a marker: when it is
// answered, everything committed before it was asked has been applied here.
type proposal struct {
	commands [][]byte // encoded
	size     int
	answer   func(answer) // called once; it must not block
}

type answer struct {
	results []session.Result
	err     error
}

// proposals packs the proposals of this leader into log entries. One goroutine packs, one hands the results out.
type proposals struct {
	group   uint32
	epochs  *epochs
	queue   chan *proposal
	bytes   atomic.Int64
	stopped chan struct{} // closed when run has answered everything
	stuck   func()        // called when transfers have refused entries for transferStuck
}

func newProposals(group uint32) *proposals {
	return &proposals{group: group, queue: make(chan *proposal, queueProposals), stopped: make(chan struct{})}
}

// put queues p, or refuses it at once.
func (q *proposals) put(p *proposal) error {
	if q.bytes.Add(int64(p.size)) <= queueBytes {
		select {
		case q.queue <- p:
			return nil
		default:
		}
	}
	q.bytes.Add(-int64(p.size))
	return &skein.Error{Code: skein.CodeOverloaded, Detail: "the group's queue is full", RetryAfter: 100 * time.Millisecond}
}

// drain waits until everything that was queued has been answered; run's stop is closed by then.
func (q *proposals) drain() {
	select {
	case <-q.stopped:
	case <-time.After(2 * time.Second):
	}
}

// flight is a log entry on its way.
type flight struct {
	future    raft.ApplyFuture
	proposals []*proposal
}

// run packs until stop is closed and answers what is left with a definite no.
func (q *proposals) run(stop <-chan struct{}, r *raft.Raft) {
	defer close(q.stopped)
	flights := make(chan flight, maxEntries)
	landed := make(chan struct{}, maxEntries)
	var hands sync.WaitGroup
	leads := func() bool { return r.State() == raft.Leader }
	hands.Go(func() { q.handOut(flights, landed, leads) })
	p := packer{q: q, stop: stop, landed: landed}
	for p.next() {
		data := encodeEnvelope(q.epochs.stamp(), q.group, p.commands)
		flights <- flight{r.Apply(data, enqueueTimeout), p.batch}
		p.flying++
		p.reset()
	}
	close(flights)
	hands.Wait()
	for {
		select {
		case p := <-q.queue:
			q.bytes.Add(-int64(p.size))
			p.answer(answer{err: errNotLeader})
		default:
			return
		}
	}
}

// packer collects the next entry. It belongs to run's goroutine.
type packer struct {
	q        *proposals
	stop     <-chan struct{}
	landed   <-chan struct{}
	flying   int
	batch    []*proposal
	commands [][]byte
	size     int
	held     *proposal // did not fit the last entry
}

func (p *packer) reset() { p.batch, p.commands, p.size = nil, nil, 0 }

func (p *packer) take(x *proposal) bool {
	if len(p.batch) > 0 && (len(p.commands)+len(x.commands) > maxEntryCommands || p.size+x.size > maxEntryBytes) {
		p.held = x
		return false
	}
	p.q.bytes.Add(-int64(x.size))
	p.batch, p.commands, p.size = append(p.batch, x), append(p.commands, x.commands...), p.size+x.size
	return true
}

// next waits for the first proposal and for leave to send an entry, and fills it. It is false when run stops.
func (p *packer) next() bool {
	for p.flying >= maxEntries {
		<-p.landed
		p.flying--
	}
	if x := p.held; x != nil {
		p.held = nil
		p.take(x)
	}
	for len(p.batch) == 0 {
		select {
		case x := <-p.q.queue:
			p.take(x)
		case <-p.landed:
			p.flying--
		case <-p.stop:
			return false
		}
	}
	if !p.sweep() || p.flying < eagerEntries {
		return true
	}
	linger := time.NewTimer(lingerFor)
	defer linger.Stop()
	for p.flying >= eagerEntries {
		select {
		case x := <-p.q.queue:
			if !p.take(x) {
				return true
			}
		case <-p.landed:
			p.flying--
		case <-linger.C:
			return true
		case <-p.stop:
			return true
		}
	}
	p.sweep()
	return true
}

// sweep takes what is queued already; it is false when the entry is full.
func (p *packer) sweep() bool {
	for len(p.commands) < maxEntryCommands && p.size < maxEntryBytes {
		select {
		case x := <-p.q.queue:
			if !p.take(x) {
				return false
			}
		default:
			return true
		}
	}
	return false
}

// handOut waits for entries in the order in which they were sent and answers their proposals.
func (q *proposals) handOut(flights <-chan flight, landed chan<- struct{}, leads func() bool) {
	var refusedSince time.Time // by a transfer of leadership
	for f := range flights {
		results, err := outcome(f)
		landed <- struct{}{} // has room for every flight
		if errors.Is(err, raft.ErrLeadershipTransferInProgress) && leads() {
			if refusedSince.IsZero() {
				refusedSince = time.Now()
			}
			if time.Since(refusedSince) > transferStuck && q.stuck != nil {
				q.stuck()
			}
		} else {
			refusedSince = time.Time{}
		}
		for _, p := range f.proposals {
			a := answer{err: err}
			if err == nil {
				n := len(p.commands)
				a.results, results = results[:n:n], results[n:]
			}
			p.answer(a)
		}
	}
}

// outcome sorts what raft says into done, a definite no and unknown.
func outcome(f flight) ([]session.Result, error) {
	switch err := f.future.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, errors.Join(errNotLeader, err)
	default:
		return nil, errors.Join(errUnknown, err)
	}
	want := 0
	for _, p := range f.proposals {
		want += len(p.commands)
	}
	switch resp := f.future.Response().(type) {
	case []session.Result:
		if len(resp) == want {
			return resp, nil
		}
	case error:
		return nil, errors.Join(errUnknown, resp)
	}
	return nil, errUnknown
}

// enqueue hands p to the local replica, which answers it, or says why not: errNotLeader is for the caller to retry,
// anything else is definite. It does not wait.
func (g *Group) enqueue(p *proposal) error {
	if !g.leadsWell(g.raft.Load()) || g.outcast.Load() {
		return errNotLeader
	}
	select {
	case <-g.closing:
		return errNotLeader
	default:
	}
	if err := g.admit(p); err != nil {
		return err
	}
	return g.proposals.put(p)
}

// submit proposes encoded commands, size bytes in all, to the local replica and waits for the answer. errNotLeader
// and errUnknown are for the caller to retry; anything else is definite.
func (g *Group) submit(ctx context.Context, commands [][]byte, size int) ([]session.Result, error) {
	answers := make(chan answer, 1)
	if err := g.enqueue(&proposal{commands: commands, size: size, answer: func(a answer) { answers <- a }}); err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a.results, a.err
	case <-ctx.Done():
		return nil, errors.Join(errUnknown, context.Cause(ctx))
	case <-g.failed:
		return nil, errors.Join(errUnknown, g.failure)
	case <-g.closed:
		select {
		case a := <-answers:
			return a.results, a.err
		default:
			return nil, errNotLeader // it came after the queue was emptied
		}
	}
}
