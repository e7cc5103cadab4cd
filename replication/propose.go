package replication

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// The pause before a proposal or read is tried again, with jitter. News of a leader do not shorten it: during an
// election they come and go.
const (
	retryFirst = 10 * time.Millisecond
	retryMost  = 50 * time.Millisecond
)

// Propose commits commands, at most 256 and 4 MiB, and gives their results in order; Result.Err tells what the
// state machine refused. A node that does not lead forwards to the leader. While there is no leader, or an
// outcome is unknown, it tries again until ctx is done: the state machine drops what it has applied already.
//
// The error is skein.ErrOverloaded, nothing was written; skein.ErrNoQuorum, no leader was found and nothing was
// written; skein.ErrUnknownOutcome, the commands may or may not be committed, propose them again; or that of a
// command with no stored form (skein.CodeMalformed, skein.CodeTooLarge).
func (g *Group) Propose(ctx context.Context, commands ...session.Command) ([]session.Result, error) {
	if len(commands) == 0 {
		return nil, nil
	}
	encoded := make([]*wire.Command, len(commands))
	for i := range commands {
		w, err := commandToWire(&commands[i])
		if err != nil {
			return nil, err
		}
		encoded[i] = w
	}
	p, err := newProposal(encoded)
	if err != nil {
		return nil, err
	}
	return g.propose(ctx, p, encoded)
}

func (g *Group) propose(ctx context.Context, p *proposal, commands []*wire.Command) ([]session.Result, error) {
	var done []session.Result // a forwarded proposal may be answered in parts
	retry := retrier{group: g}
	for {
		results, err := g.proposeOnce(ctx, p, commands)
		done = append(done, results...)
		if err == nil && len(results) == len(commands) {
			return done, nil
		}
		if err == nil {
			commands = commands[len(results):]
		} else if !retry.again(err) {
			if retry.unknown || len(done) > 0 { // an earlier try may stand, or part of it does: this refusal is not the whole truth
				return nil, skein.Fault(skein.CodeUnknownOutcome, "group %d: then refused: %v", g.cfg.Group, err)
			}
			return nil, err
		}
		// A new one: the old one may still be answered.
		p = &proposal{commands: p.commands[len(p.commands)-len(commands):], size: p.size, answer: make(chan answer, 1)}
		if !retry.pause(ctx) {
			return nil, retry.fault(ctx)
		}
	}
}

func (g *Group) proposeOnce(ctx context.Context, p *proposal, commands []*wire.Command) ([]session.Result, error) {
	if g.leadsWell(g.raft.Load()) {
		return g.submit(ctx, p)
	}
	return g.forward(ctx, commands)
}

// retrier decides whether and when a request to the group is tried again. It is the one layer that retries.
type retrier struct {
	group   *Group
	unknown bool // an earlier try may have been committed
	last    error
	wait    time.Duration
}

// again reports whether err calls for another try.
func (t *retrier) again(err error) bool {
	t.last = err
	if errors.Is(err, errUnknown) {
		t.unknown = true
		return true
	}
	if errors.Is(err, errNotLeader) {
		return true
	}
	switch e, ok := errors.AsType[*skein.Error](err); {
	case !ok:
		return false
	case e.Code == skein.CodeUnknownOutcome:
		t.unknown = true
		return true
	default:
		return e.Code == skein.CodeNoQuorum
	}
}

// pause waits before the next try, and is false when there is none.
func (t *retrier) pause(ctx context.Context) bool {
	t.wait = min(max(2*t.wait, retryFirst), retryMost)
	timer := time.NewTimer(t.wait/2 + rand.N(t.wait/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-t.group.closed:
		return false
	case <-t.group.failed:
		return false
	}
	return ctx.Err() == nil
}

// fault is the error after the last try.
func (t *retrier) fault(ctx context.Context) error {
	code := skein.CodeNoQuorum
	if t.unknown {
		code = skein.CodeUnknownOutcome
	}
	reason := context.Cause(ctx)
	if reason == nil {
		reason = errors.New("this node is stopping")
	}
	return skein.Fault(code, "group %d: %v (%v)", t.group.cfg.Group, reason, t.last)
}

// barrier commits a marker: afterwards this replica has applied everything that was committed before the call.
func (g *Group) barrier(ctx context.Context) error {
	_, err := g.submit(ctx, &proposal{answer: make(chan answer, 1)})
	return err
}
