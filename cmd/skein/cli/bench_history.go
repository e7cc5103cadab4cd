package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// benchHistory is one run of `skein bench history`.
type benchHistory struct {
	listing
	subject, region string
	askers, limit   int
	seconds         int
	window          time.Duration
	seed            uint64
}

// benchHistoryResult is what it prints. Times are of single pages, in milliseconds.
type benchHistoryResult struct {
	Sessions  int     `json:"sessions"` // of the region, as one node has them
	Pages     int     `json:"pages"`
	Events    int     `json:"events"`
	Short     int     `json:"short"` // pages that ended before their limit while there was more
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

func benchHistoryCommand() *cobra.Command {
	var b benchHistory
	cmd := &cobra.Command{
		Use: "history --subject SUBJECT", Short: "Measure queries for what a subject said between two times", Args: usageArgs(cobra.NoArgs),
		Long: "Ask all nodes of a region in turn, as an operator does, what a subject said in windows of time between its first event and now.\n" +
			"Each window is read to its end; what is measured is a page.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := b.run(cmd.Context())
			if err != nil {
				return err
			}
			if b.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d sessions; %d pages (%d short) with %d events, %.1f pages per second; p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
				r.Sessions, r.Pages, r.Short, r.Events, r.PerSecond, r.P50, r.P99, r.Max)
			return err
		},
	}
	b.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&b.subject, "subject", "", "whose sessions; needed")
	flags.StringVar(&b.region, "region", "", "region that is asked (default that of the mesh file's first node)")
	completeRegion(cmd, &b.mesh)
	flags.IntVar(&b.askers, "clients", 4, "questions at once, 1 to 64")
	flags.IntVar(&b.limit, "limit", 100, "events of a page, 1 to 500")
	flags.IntVar(&b.seconds, "seconds", 10, "how long, 1 to 3600")
	flags.DurationVar(&b.window, "window", time.Second, "span of the windows")
	flags.Uint64Var(&b.seed, "seed", 1, "what the windows are made of")
	return cmd
}

func (b *benchHistory) check() error {
	switch {
	case b.subject == "":
		return errors.New("--subject SUBJECT is needed")
	case b.askers < 1 || b.askers > 64:
		return fmt.Errorf("--clients %d: want 1 to 64", b.askers)
	case b.limit < 1 || b.limit > saidPage:
		return fmt.Errorf("--limit %d: want 1 to %d", b.limit, saidPage)
	case b.seconds < 1 || b.seconds > 3600:
		return fmt.Errorf("--seconds %d: want 1 to 3600", b.seconds)
	case b.window < time.Millisecond:
		return fmt.Errorf("--window %v: want 1ms or more", b.window)
	}
	return nil
}

func (b *benchHistory) run(ctx context.Context) (*benchHistoryResult, error) {
	if err := b.check(); err != nil {
		return nil, &usageError{err}
	}
	o, err := b.operator()
	if err != nil {
		return nil, err
	}
	if b.region == "" {
		b.region = string(o.mesh.Nodes[0].Region)
	}
	var nodes []meshfile.Node
	for _, n := range livingFirst(o.mesh.Nodes) {
		if n.Region == skein.Region(b.region) {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("the mesh has no region %q", b.region)
	}
	var first admin.SaidPage
	if err := o.ask(ctx, nodes[0], http.MethodGet, "/v1/history?limit=1&subject="+url.QueryEscape(b.subject), &first); err != nil {
		return nil, err
	}
	if len(first.Said) == 0 {
		return nil, fmt.Errorf("%s said nothing in region %s: `skein bench fill` makes sessions", b.subject, b.region)
	}
	var st admin.Status
	if err := o.ask(ctx, nodes[0], http.MethodGet, "/debug/status", &st); err != nil {
		return nil, err
	}
	r := &benchHistoryResult{}
	for _, g := range st.Groups {
		r.Sessions += g.Sessions
	}
	return r, b.measure(ctx, o, nodes, first.Said[0].At, r)
}

// measure asks until the time is over.
func (b *benchHistory) measure(ctx context.Context, o *operator, nodes []meshfile.Node, since time.Time, r *benchHistoryResult) error {
	began := time.Now()
	end := began.Add(time.Duration(b.seconds) * time.Second)
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)+anyTimeout)
	defer cancel()
	o.http.Transport = &http.Transport{MaxIdleConnsPerHost: b.askers}
	defer o.http.CloseIdleConnections()
	var mu sync.Mutex // guards all, r and failed
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	for i := range b.askers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(b.seed, uint64(i)))
			for n := i; time.Now().Before(end); n++ {
				from := since.Add(time.Duration(rnd.Int64N(max(1, int64(began.Sub(since))))))
				took, events, short, err := b.read(ctx, o, nodes[n%len(nodes)], from, end)
				mu.Lock()
				all, r.Events, r.Short = append(all, took...), r.Events+events, r.Short+short
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	r.Pages, r.PerSecond = len(all), float64(len(all))/time.Since(began).Seconds()
	if len(all) > 0 {
		r.P50, r.P99, r.Max = percentile(all, 50), percentile(all, 99), percentile(all, 100)
	}
	return failed
}

// read reads one window to its end, and gives how long each page took.
func (b *benchHistory) read(ctx context.Context, o *operator, n meshfile.Node, from, end time.Time) (took []time.Duration, events, short int, err error) {
	q := url.Values{
		"subject": {b.subject}, "limit": {strconv.Itoa(b.limit)},
		"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {from.Add(b.window).UTC().Format(time.RFC3339Nano)},
	}
	for {
		var page admin.SaidPage
		began := time.Now()
		if err := o.ask(ctx, n, http.MethodGet, "/v1/history?"+q.Encode(), &page); err != nil {
			return took, events, short, err
		}
		took, events = append(took, time.Since(began)), events+len(page.Said)
		if page.Next == "" || time.Now().After(end) {
			return took, events, short, nil
		}
		if len(page.Said) < b.limit {
			short++
		}
		q.Set("after", page.Next)
	}
}
