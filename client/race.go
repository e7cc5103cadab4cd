package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quic-go/quic-go"
)

// connect pins a connection to the first known node that answers, and goes on until ctx ends.
func (c *Client) connect(ctx context.Context) error {
	for round := 0; ; round++ {
		err := c.resolve(ctx)
		nodes := c.book.ranked(Node{})
		if len(nodes) > 0 {
			err = c.race(ctx, nodes)
		}
		if err == nil || untrusted(err) {
			return err
		}
		pause := time.NewTimer(backoff(round+1, firstBackoff, maxBackoff))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w: %w: %w", ErrUnreachable, context.Cause(ctx), err)
		}
	}
}

// race dials nodes 125 ms apart, the next at once when one fails, and pins the first that completes the
// handshake (RFC 8305, "Happy Eyeballs", section 5).
func (c *Client) race(ctx context.Context, nodes []Node) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		link *link
		err  error
	}
	results := make(chan result, len(nodes)) // every runner can leave its result
	start := func(n Node) {
		c.wg.Go(func() {
			l, err := c.pool.acquire(ctx, n.QUIC)
			if err == nil {
				if err = l.alive(ctx); err != nil {
					c.pool.release(l)
				}
			}
			results <- result{l, err}
		})
	}
	var winner *link
	var errs []error
	step := time.NewTimer(0)
	defer step.Stop()
	for started, running := 0, 0; ; {
		select {
		case <-step.C:
			if winner == nil && started < len(nodes) && running < raceWidth {
				start(nodes[started])
				started++
				running++
				step.Reset(raceStep)
			}
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				errs = append(errs, r.err)
				step.Reset(0)
			case winner == nil:
				winner = r.link
				cancel()
			default:
				c.pool.release(r.link)
			}
		}
		if running == 0 && (winner != nil || started == len(nodes) || ctx.Err() != nil) {
			break
		}
	}
	if winner == nil {
		return errors.Join(errs...)
	}
	c.pool.pin(winner)
	c.pool.release(winner)
	return nil
}

// untrusted reports that every node failed in TLS: trying again cannot help.
func untrusted(err error) bool {
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, e := range all.Unwrap() {
		t, ok := errors.AsType[*quic.TransportError](e)
		if !ok || !t.ErrorCode.IsCryptoError() {
			return false
		}
	}
	return len(all.Unwrap()) > 0
}

// backoff gives the pause before try number n: none before the first, then up to base, doubled each time up
// to limit. Half of it is random, so that many clients do not come at once.
func backoff(n int, base, limit time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	d := min(base<<min(n-1, 20), limit)
	return d/2 + rand.N(d/2+1)
}
