package replication

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
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
	a, err := newAttempted(commands)
	if err != nil {
		return nil, err
	}
	return g.propose(ctx, a)
}

// attempted is commands on their way into the log. They are encoded once.
type attempted struct {
	commands []session.Command // as they are read back from their stored form
	encoded  [][]byte
	size     int              // of all encoded ones
	held     []*session.State // of each command's session, what this node has told the leader that it holds; nil: nothing
}

func newAttempted(commands []session.Command) (*attempted, error) {
	if len(commands) > maxEntryCommands {
		return nil, skein.Fault(skein.CodeTooLarge, "a proposal has at most %d commands", maxEntryCommands)
	}
	a := &attempted{commands: make([]session.Command, len(commands)), encoded: make([][]byte, len(commands))}
	for i := range commands {
		w, err := commandToWire(&commands[i])
		if err != nil {
			return nil, err
		}
		if a.encoded[i], err = encodeCommand(w); err != nil {
			return nil, err
		}
		a.commands[i] = commands[i]
		a.commands[i].At = fromMillis(w.AtMs)
		a.size += len(a.encoded[i])
	}
	if a.size > maxProposalBytes {
		return nil, skein.Fault(skein.CodeTooLarge, "a proposal has at most %d bytes", maxProposalBytes)
	}
	return a, nil
}

func (g *Group) propose(ctx context.Context, a *attempted) ([]session.Result, error) {
	var done []session.Result // a forwarded proposal may be answered in parts
	retry := retrier{group: g}
	for {
		results, err := g.proposeOnce(ctx, a)
		done = append(done, results...)
		if err == nil && len(results) == len(a.commands) {
			return done, nil
		}
		if err == nil {
			a.commands, a.encoded = a.commands[len(results):], a.encoded[len(results):]
		} else if !retry.again(err) {
			if retry.unknown || len(done) > 0 { // an earlier try may stand, or part of it does: this refusal is not the whole truth
				return nil, skein.Fault(skein.CodeUnknownOutcome, "group %d: then refused: %v", g.cfg.Group, err)
			}
			return nil, err
		}
		if !retry.pause(ctx) {
			return nil, retry.fault(ctx)
		}
	}
}

func (g *Group) proposeOnce(ctx context.Context, a *attempted) ([]session.Result, error) {
	if !g.leadsWell(g.raft.Load()) {
		return g.forward(ctx, a)
	}
	return g.submit(ctx, a.encoded, a.size)
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
	_, err := g.submit(ctx, nil, 0)
	return err
}
