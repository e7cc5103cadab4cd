package cli

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

// historyPage is how many events are asked for at once.
const historyPage = 500

// verify reads a sample of the sessions back, evenly spread, at other nodes than one after the other had made them: each
// must have every turn once, with the message that was sent and a reply.
func (f *fill) verify(ctx context.Context, clients []*client.Client) error {
	size := min(f.sample, f.sessions)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opening)
	for i := range size {
		n := int(int64(i) * int64(f.sessions) / int64(size))
		g.Go(func() error {
			if err := f.whole(ctx, clients[i%len(clients)], n); err != nil {
				return fmt.Errorf("session %s was made and is not whole: %w", f.id(n), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// whole compares the history of session n with what was sent.
func (f *fill) whole(ctx context.Context, c *client.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, fillLimit)
	defer cancel()
	s, err := c.Open(ctx, f.id(n), client.Options{Resume: true})
	if err != nil {
		return err
	}
	defer s.Close()
	sent, answered := map[skein.TurnID]string{}, map[skein.TurnID]int{}
	for after := skein.Seq(0); ; {
		events, next, err := s.History(ctx, after, historyPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			switch e.Kind {
			case "accepted":
				sent[e.Turn] = e.Text
			case "completed":
				answered[e.Turn]++
			}
		}
		if after = next; next == 0 {
			break
		}
	}
	for k := 1; k <= f.turns; k++ {
		if got, want := sent[f.turn(k)], f.message(n, k); got != want {
			return fmt.Errorf("turn %d asks %.60q, want %.60q", k, got, want)
		}
		if got := answered[f.turn(k)]; got != 1 {
			return fmt.Errorf("turn %d has %d replies, want 1", k, got)
		}
	}
	return nil
}
