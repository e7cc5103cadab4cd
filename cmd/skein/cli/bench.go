package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Limits of one bench.
const (
	maxBenchSessions = 100_000
	maxBenchConns    = 10_000
	maxBenchSeconds  = 24 * 3600
	benchTurnLimit   = 30 * time.Second // a turn that takes longer counts as an error
	opening          = 64               // sessions that are opened at once
)

// bench is one run of `skein bench turns`.
type bench struct {
	mesh     meshFlag
	region   string
	sessions int
	conns    int
	seconds  int
	asJSON   bool

	rate, burst  int // of an open loop, in turns a second; 0: a closed one
	burstSeconds int
}

// benchResult is what it prints. Percentiles are of all completed turns, not of a sample.
type benchResult struct {
	Turns       int     `json:"turns"` // completed
	Errors      int     `json:"errors"`
	PerSecond   float64 `json:"per_second"`
	P50         float64 `json:"p50_ms"`
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`
	Sessions    int     `json:"sessions"`
	Connections int     `json:"connections"`
	Voters      int     `json:"voters"` // of a region's group; the fewest, where regions differ
}

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a mesh", Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(benchTurnsCommand(), benchFillCommand(), benchHistoryCommand(), benchRestartCommand())
	return cmd
}

func benchTurnsCommand() *cobra.Command {
	var b bench
	cmd := &cobra.Command{
		Use: "turns", Short: "Run conversations side by side and measure their turns", Args: usageArgs(cobra.NoArgs),
		Long: "Run the shop's conversations, English and Chinese, side by side: each session sends its next message when the\n" +
			"reply to the last one is whole. Opening the sessions is not measured. The sessions stay in the mesh.\n\n" +
			"With --rate turns come at that rate whether those before are answered or not, and after 3 s at that of --burst for\n" +
			"a while. A turn that the mesh sends away comes back when it was told to, as another turn. Afterwards every history\n" +
			"is read: what was answered has to be there, once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.check(); err != nil {
				return &usageError{err}
			}
			r, err := b.run(cmd.Context())
			if err != nil {
				return err
			}
			if b.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	b.mesh.register(cmd)
	f := cmd.Flags()
	f.StringVar(&b.region, "region", "", "connect to nodes of this region only (default all, in turn)")
	completeRegion(cmd, &b.mesh)
	f.IntVar(&b.sessions, "sessions", 64, "conversations that run side by side")
	f.IntVar(&b.conns, "connections", 64, "QUIC connections that carry them")
	f.IntVar(&b.seconds, "seconds", 10, "how long to measure")
	f.IntVar(&b.rate, "rate", 0, "turns a second of an open loop; 0: a closed one")
	f.IntVar(&b.burst, "burst", 0, "turns a second of a burst (needs --rate, and sessions for all turns that are under way)")
	f.IntVar(&b.burstSeconds, "burst-seconds", 3, "how long the burst lasts")
	f.BoolVar(&b.asJSON, "json", false, "print one line of JSON")
	return cmd
}

func (b *bench) check() error {
	switch {
	case b.sessions < 1 || b.sessions > maxBenchSessions:
		return fmt.Errorf("--sessions %d: want 1 to %d", b.sessions, maxBenchSessions)
	case b.conns < 1 || b.conns > maxBenchConns:
		return fmt.Errorf("--connections %d: want 1 to %d", b.conns, maxBenchConns)
	case b.seconds < 1 || b.seconds > maxBenchSeconds:
		return fmt.Errorf("--seconds %d: want 1 to %d", b.seconds, maxBenchSeconds)
	}
	b.conns = min(b.conns, b.sessions)
	return b.checkRate()
}

// printer is what a bench gives: a line or a few for people. It is JSON, too.
type printer interface{ print(w io.Writer) error }

func (r *benchResult) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d turns, %d errors, %.1f per second; p50 %.1f ms, p95 %.1f ms, p99 %.1f ms; %d sessions over %d connections, %d voters\n",
		r.Turns, r.Errors, r.PerSecond, r.P50, r.P95, r.P99, r.Sessions, r.Connections, r.Voters)
	return err
}

func (b *bench) run(ctx context.Context) (printer, error) {
	m, _, err := b.mesh.read()
	if err != nil {
		return nil, err
	}
	voters, err := countVoters(ctx, m, skein.Region(b.region))
	if err != nil {
		return nil, err
	}
	clients, err := b.dial(ctx, m)
	defer closeAll(clients)
	if err != nil {
		return nil, err
	}
	sessions, err := b.open(ctx, clients)
	if err != nil {
		return nil, err
	}
	if b.rate > 0 {
		return b.runOpen(ctx, sessions)
	}
	r := measure(ctx, sessions, time.Duration(b.seconds)*time.Second)
	if err := ctx.Err(); err != nil {
		return nil, errors.New("interrupted")
	}
	r.Sessions, r.Connections, r.Voters = b.sessions, b.conns, voters
	return r, nil
}

// countVoters asks each region's own nodes, and gives the fewest voters of any.
func countVoters(ctx context.Context, m *meshfile.File, region skein.Region) (int, error) {
	o, err := newOperator(m)
	if err != nil {
		return 0, err
	}
	list, faults := allRegions(ctx, o)
	if len(list) == 0 {
		return 0, fmt.Errorf("count the voters: %w", errors.Join(faults...))
	}
	list = slices.DeleteFunc(list, func(r admin.Region) bool { return region != "" && r.Region != region })
	if len(list) == 0 {
		return 0, fmt.Errorf("the mesh has no region %q", region)
	}
	least := slices.MinFunc(list, func(a, b admin.Region) int { return a.Voters - b.Voters })
	return least.Voters, nil
}

// dial makes the connections, each to another node first.
func (b *bench) dial(ctx context.Context, m *meshfile.File) ([]*client.Client, error) {
	cfg, err := clientConfig(m, skein.Region(b.region))
	if err != nil {
		return nil, err
	}
	usable := len(cfg.Nodes)
	if b.region != "" {
		usable = 0
		for usable < len(cfg.Nodes) && cfg.Nodes[usable].Region == skein.Region(b.region) {
			usable++
		}
	}
	clients := make([]*client.Client, b.conns)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opening)
	for i := range clients {
		g.Go(func() error {
			own := cfg
			at := i % usable
			own.Nodes = slices.Concat(cfg.Nodes[at:usable], cfg.Nodes[:at], cfg.Nodes[usable:])
			c, err := client.Dial(ctx, own)
			clients[i] = c
			return err
		})
	}
	return clients, g.Wait()
}

func closeAll(clients []*client.Client) {
	var wg sync.WaitGroup
	for _, c := range clients {
		if c != nil {
			wg.Go(func() { c.Close() })
		}
	}
	wg.Wait()
}

// open opens the sessions, spread over the connections.
func (b *bench) open(ctx context.Context, clients []*client.Client) ([]*client.Session, error) {
	sessions := make([]*client.Session, b.sessions)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opening)
	for i := range sessions {
		g.Go(func() error {
			s, err := clients[i%len(clients)].Open(ctx, "bench-"+skein.RandomName(), client.Options{FailFast: b.rate > 0})
			sessions[i] = s
			return err
		})
	}
	return sessions, g.Wait()
}

// measure runs every session until time is up. A turn that is running then is waited for but not counted, so
// that neither its latency nor its missing end bends the figures.
func measure(ctx context.Context, sessions []*client.Session, length time.Duration) *benchResult {
	latencies := make([][]time.Duration, len(sessions))
	var failed atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	end := began.Add(length)
	for i, s := range sessions {
		wg.Go(func() {
			for turn := 0; time.Now().Before(end) && ctx.Err() == nil; turn++ {
				took, err := benchTurn(ctx, s, benchMessage(i, turn))
				switch {
				case time.Now().After(end):
				case err != nil:
					failed.Add(1)
					pause(ctx, 100*time.Millisecond) // a mesh that refuses at once is not hammered
				default:
					latencies[i] = append(latencies[i], took)
				}
			}
		})
	}
	wg.Wait()
	return summarize(slices.Concat(latencies...), int(failed.Load()), length)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func benchTurn(ctx context.Context, s *client.Session, text string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, benchTurnLimit)
	defer cancel()
	began := time.Now()
	turn, err := s.Send(ctx, text)
	if err != nil {
		return 0, err
	}
	r, err := turn.Reply(ctx)
	if err == nil && r.Text == "" {
		err = errors.New("empty reply")
	}
	return time.Since(began), err
}

// summarize sorts all latencies; percentiles are by nearest rank.
func summarize(all []time.Duration, failed int, length time.Duration) *benchResult {
	return &benchResult{Turns: len(all), Errors: failed, PerSecond: float64(len(all)) / length.Seconds(),
		P50: percentile(all, 50), P95: percentile(all, 95), P99: percentile(all, 99)}
}

// percentile gives one of the latencies by nearest rank, in milliseconds; it sorts them.
func percentile(all []time.Duration, percent int) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	at := (len(all)*percent + 99) / 100
	return float64(all[max(at, 1)-1].Microseconds()) / 1000
}
