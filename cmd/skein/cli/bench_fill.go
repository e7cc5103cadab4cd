package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Limits of one fill.
const (
	maxFillSessions = 100_000_000
	maxFillTurns    = 100
	maxFillText     = 4 << 10 // bytes of a message
	maxFillFlight   = 4096    // sessions that are being made at once, over all connections
	maxFillSample   = 10_000
	fillPerConn     = 200 // a connection has 256 streams by default
	fillEvery       = 5 * time.Second
	fillLimit       = 2 * time.Minute // one session
)

// fill is one run of `skein bench fill`.
type fill struct {
	mesh     meshFlag
	region   skein.Region
	seed     string
	sessions int
	turns    int
	text     int
	flight   int
	sample   int
	asJSON   bool
}

// fillResult is what it prints.
type fillResult struct {
	Sessions  int     `json:"sessions"` // that the mesh holds now
	Made      int     `json:"made"`     // by this run, those included that it repeated
	Repeated  int     `json:"repeated"` // of those, how many an earlier run had gone through already, about
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	Sample    int     `json:"sample"` // sessions that were read back and are whole
}

// again tells of what was there already.
func (r *fillResult) again() string {
	if r.Repeated == 0 {
		return ""
	}
	return fmt.Sprintf(" (about %d of them again: they were there)", r.Repeated)
}

func benchFillCommand() *cobra.Command {
	var f fill
	var region string
	cmd := &cobra.Command{
		Use: "fill", Short: "Make many sessions, through the same path as clients", Args: usageArgs(cobra.NoArgs),
		Long: "Make sessions SEED-0, SEED-1, ... with a few turns each, as fast as the mesh takes them, and read a sample back.\n" +
			"Ids and messages follow from the seed alone: a second run goes on where the first one ended, and nothing is made twice.\n" +
			"What the messages ask comes from the shop's conversations, lengthened to --text bytes. A gateway that limits turns per\n" +
			"second limits opens too; `skein dev` sets no limit.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.region = skein.Region(region)
			if err := f.check(); err != nil {
				return &usageError{err}
			}
			r, err := f.run(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if f.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d sessions, %d made%s in %.1f s (%.0f per second); %d of them read back, all whole\n",
				r.Sessions, r.Made, r.again(), r.Seconds, r.PerSecond, r.Sample)
			return err
		},
	}
	f.mesh.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&region, "region", "", "region that the sessions are born in (default that of the mesh file's first node)")
	completeRegion(cmd, &f.mesh)
	flags.StringVar(&f.seed, "seed", "fill", "first part of the sessions' names, and what their messages are made of")
	flags.IntVar(&f.sessions, "sessions", 100_000, "sessions that there are in the end")
	flags.IntVar(&f.turns, "turns", 1, "turns of each")
	flags.IntVar(&f.text, "text", 300, "bytes of each message, at least those of its question")
	flags.IntVar(&f.flight, "in-flight", 512, "sessions that are being made at once")
	flags.IntVar(&f.sample, "sample", 1000, "sessions that are read back in the end")
	flags.BoolVar(&f.asJSON, "json", false, "print one line of JSON")
	return cmd
}

func (f *fill) check() error {
	for _, n := range []struct {
		flag            string
		got, least, max int
	}{
		{"--sessions", f.sessions, 1, maxFillSessions}, {"--turns", f.turns, 1, maxFillTurns}, {"--text", f.text, 1, maxFillText},
		{"--in-flight", f.flight, 1, maxFillFlight}, {"--sample", f.sample, 0, maxFillSample},
	} {
		if n.got < n.least || n.got > n.max {
			return fmt.Errorf("%s %d: want %d to %d", n.flag, n.got, n.least, n.max)
		}
	}
	if !skein.ValidName(f.seed) || len(f.seed) > 32 {
		return fmt.Errorf("--seed %q: want 1 to 32 letters, digits, '.', '_' or '-'", f.seed)
	}
	return nil
}

func (f *fill) run(ctx context.Context, progress io.Writer) (*fillResult, error) {
	m, _, err := f.mesh.read()
	if err != nil {
		return nil, err
	}
	if f.region == "" {
		f.region = m.Nodes[0].Region
	}
	clients, err := f.dial(ctx, m)
	defer closeAll(clients)
	if err != nil {
		return nil, err
	}
	begin, end, err := f.begin(ctx, clients[0])
	if err != nil {
		return nil, fmt.Errorf("find where to go on: %w", err)
	}
	if begin > 0 {
		fmt.Fprintf(progress, "goes on at session %d\n", begin)
	}
	started := time.Now()
	if err := f.make(ctx, clients, begin, progress); err != nil {
		if ctx.Err() != nil {
			return nil, errors.New("interrupted; the same command goes on from here")
		}
		return nil, fmt.Errorf("%w; the same command goes on from here", err)
	}
	r := &fillResult{Sessions: f.sessions, Made: f.sessions - begin, Repeated: end - begin, Seconds: time.Since(started).Seconds(), Sample: min(f.sample, f.sessions)}
	r.PerSecond = float64(r.Made) / r.Seconds
	return r, f.verify(ctx, clients)
}

// dial makes as many connections as the sessions in flight need, each to another node of the region first.
func (f *fill) dial(ctx context.Context, m *meshfile.File) ([]*client.Client, error) {
	b := bench{region: string(f.region), conns: max(len(m.Nodes), (f.flight+fillPerConn-1)/fillPerConn)}
	return b.dial(ctx, m)
}

// id names session n.
func (f *fill) id(n int) string {
	return string(skein.Session(f.region, fmt.Sprintf("%s-%d", f.seed, n)))
}

// turn gives the id of turn k of every session, from 1.
func (f *fill) turn(k int) skein.TurnID {
	return skein.TurnID{Client: skein.ClientID(f.seed), Counter: uint64(k)}
}

// message gives the text of turn k of session n: a question of the shop, and words behind it up to the length asked for.
func (f *fill) message(n, k int) string {
	text := benchMessage(n, k-1)
	if missing := f.text - len(text); missing > 0 {
		note := fmt.Sprintf(" (%s %d.%d) ", f.seed, n, k)
		text += strings.Repeat(note, missing/len(note)+1)[:missing]
	}
	return text
}

// begin finds where to go on: of an interrupted run all sessions are there but some of the last maxFillFlight, so it
// steps back by as many, from end. What it repeats has the same ids and is not made twice.
func (f *fill) begin(ctx context.Context, c *client.Client) (begin, end int, err error) {
	end, err = boundary(f.sessions, func(n int) (bool, error) { return f.exists(ctx, c, n) })
	return max(0, end-maxFillFlight), end, err
}

// boundary gives by halving a number up to n that is missing while the one before it exists, n when all exist.
func boundary(n int, exists func(int) (bool, error)) (int, error) {
	low, high := 0, n // what is before low exists, high does not, or is n
	for low < high {
		middle := low + (high-low)/2
		there, err := exists(middle)
		if err != nil {
			return 0, err
		}
		if there {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

func (f *fill) exists(ctx context.Context, c *client.Client, n int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, fillLimit)
	defer cancel()
	s, err := c.Open(ctx, f.id(n), client.Options{Resume: true})
	if errors.Is(err, skein.ErrUnknownSession) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.Close()
}

// make makes the sessions from begin on, in order, so many at once.
func (f *fill) make(ctx context.Context, clients []*client.Client, begin int, progress io.Writer) error {
	var next, done atomic.Int64
	next.Store(int64(begin))
	reported, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(reported)
		f.report(&done, begin, progress, stop)
	}()
	defer func() { close(stop); <-reported }()
	g, ctx := errgroup.WithContext(ctx)
	for i := range min(f.flight, f.sessions-begin) {
		g.Go(func() error {
			for {
				n := int(next.Add(1) - 1)
				if n >= f.sessions || ctx.Err() != nil {
					return ctx.Err()
				}
				if err := f.one(ctx, clients[i%len(clients)], n); err != nil {
					return fmt.Errorf("session %s: %w", f.id(n), err)
				}
				done.Add(1)
			}
		})
	}
	return g.Wait()
}

// report writes a line of progress every few seconds until stop is closed.
func (f *fill) report(done *atomic.Int64, begin int, progress io.Writer, stop <-chan struct{}) {
	tick := time.NewTicker(fillEvery)
	defer tick.Stop()
	last := int64(0)
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			now := done.Load()
			fmt.Fprintf(progress, "%d of %d sessions, %.0f per second\n", int64(begin)+now, f.sessions, float64(now-last)/fillEvery.Seconds())
			last = now
		}
	}
}

// one makes session n with its turns.
func (f *fill) one(ctx context.Context, c *client.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, fillLimit)
	defer cancel()
	s, err := c.Open(ctx, f.id(n), client.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for k := 1; k <= f.turns; k++ {
		turn, err := s.SendID(ctx, f.turn(k), f.message(n, k))
		if err != nil {
			return err
		}
		if _, err := turn.Reply(ctx); err != nil && !errors.Is(err, skein.ErrReplyExpired) {
			return fmt.Errorf("turn %d: %w", k, err)
		}
	}
	return nil
}
