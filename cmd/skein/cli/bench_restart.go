package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Times of one measured restart.
const (
	benchRestartPoll  = 20 * time.Millisecond
	benchRestartLimit = 10 * time.Minute // until the node has caught up
	benchWarmUp       = 3 * time.Second
)

// benchRestart is one run of `skein bench restart`.
type benchRestart struct {
	mesh   meshFlag
	target string
	wipe   bool
	rate   int
	quiet  int
	watch  int
	asJSON bool

	operator *operator
	path     string
	node     meshfile.Node
}

// restartResult is what it prints. Seconds count from the start of the process.
type restartResult struct {
	Node     skein.NodeID `json:"node"`
	Role     string       `json:"role"` // before it was killed
	Sessions int          `json:"sessions"`
	Wiped    bool         `json:"wiped"`

	Ready    float64 `json:"ready_seconds"`     // its admin endpoint says that it is
	Serving  float64 `json:"serving_seconds"`   // a turn was answered through it
	CaughtUp float64 `json:"caught_up_seconds"` // it has what the leader had applied a moment before

	AtServing resident `json:"at_serving"`
	Peak      resident `json:"peak"` // from the start until the end
	AtEnd     resident `json:"at_end"`

	Elections int          `json:"elections"` // terms begun between the node's start and its having caught up
	Quiet     *benchResult `json:"quiet,omitempty"`
	Meanwhile *benchResult `json:"meanwhile,omitempty"` // turns due from the node's start until it had caught up
	NotSent   int64        `json:"not_sent"`            // all of the rate's sessions were waiting
}

func benchRestartCommand() *cobra.Command {
	var b benchRestart
	cmd := &cobra.Command{
		Use: "restart NODE|leader|follower", Short: "Kill a node of a dev mesh, start it, and measure until it has caught up", Args: usageArgs(cobra.ExactArgs(1)),
		Long: "Kill a node of a dev mesh with SIGKILL, start it again, and measure how long it takes until it serves and has caught\n" +
			"up, and its resident memory. With --wipe it begins with an empty disk. With --rate turns run meanwhile at the other nodes too.",
		RunE: func(cmd *cobra.Command, args []string) error {
			b.target = args[0]
			if err := b.check(); err != nil {
				return &usageError{err}
			}
			r, err := b.run(cmd.Context(), cmd.ErrOrStderr())
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
	f.BoolVar(&b.wipe, "wipe", false, "remove the node's data while it is dead")
	f.IntVar(&b.rate, "rate", 0, "turns per second that run meanwhile")
	f.IntVar(&b.quiet, "quiet", 10, "seconds of these turns before the node is killed, to compare with")
	f.IntVar(&b.watch, "watch", 0, "seconds to go on afterwards, for its memory")
	f.BoolVar(&b.asJSON, "json", false, "print one line of JSON")
	return cmd
}

func (b *benchRestart) check() error {
	switch {
	case b.rate < 0 || b.rate > maxBenchSessions:
		return fmt.Errorf("--rate %d: want 0 to %d", b.rate, maxBenchSessions)
	case b.quiet < 1 || b.quiet > maxBenchSeconds:
		return fmt.Errorf("--quiet %d: want 1 to %d", b.quiet, maxBenchSeconds)
	case b.watch < 0 || b.watch > maxBenchSeconds:
		return fmt.Errorf("--watch %d: want 0 to %d", b.watch, maxBenchSeconds)
	}
	return nil
}

func (b *benchRestart) run(ctx context.Context, progress io.Writer) (*restartResult, error) {
	var err error
	if b.operator, b.path, err = b.mesh.operator(); err != nil {
		return nil, err
	}
	before, err := b.choose(ctx)
	if err != nil {
		return nil, err
	}
	r := &restartResult{Node: b.node.ID, Role: before.Role, Sessions: before.Sessions, Wiped: b.wipe}
	load := &steady{rate: b.rate}
	if b.rate > 0 {
		sessions, clients, err := openSteady(ctx, b.operator.mesh, b.rate)
		defer closeAll(clients)
		if err != nil {
			return nil, fmt.Errorf("open the sessions of the load: %w", err)
		}
		inner, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { load.run(inner, sessions) })
		defer running.Wait()
		defer stop()
		pause(ctx, benchWarmUp+time.Duration(b.quiet)*time.Second)
	}
	killed := time.Now()
	if err := b.measure(ctx, r, load, progress); err != nil {
		return nil, err
	}
	if b.rate > 0 {
		r.Quiet = load.between(killed.Add(-time.Duration(b.quiet)*time.Second), killed)
		r.NotSent = load.overdue.Load()
	}
	return r, ctx.Err()
}

// choose finds the node that is meant, and how its groups stand, as one. Of several groups the role is that in the first.
func (b *benchRestart) choose(ctx context.Context) (*admin.GroupStatus, error) {
	for _, n := range b.operator.mesh.Nodes {
		var st admin.Status
		if err := b.operator.ask(ctx, n, http.MethodGet, "/debug/status", &st); err != nil {
			continue
		}
		if string(n.ID) == b.target || st.Group.Role == b.target {
			b.node = n
			all := sum(st.Groups)
			return &all, nil
		}
	}
	if !slices.ContainsFunc(b.operator.mesh.Nodes, func(n meshfile.Node) bool { return string(n.ID) == b.target }) && b.target != "leader" && b.target != "follower" {
		return nil, fmt.Errorf("the mesh has no node %q; want one of its nodes, leader or follower", b.target)
	}
	return nil, fmt.Errorf("%s does not answer: start it with `skein dev restart`", b.target)
}

// measure kills and starts the node.
func (b *benchRestart) measure(ctx context.Context, r *restartResult, load *steady, progress io.Writer) error {
	if _, err := dev.Kill(ctx, b.path, b.node.ID); err != nil {
		return err
	}
	if b.wipe {
		if err := dev.Wipe(b.path, b.node.ID); err != nil {
			return err
		}
	}
	term, err := b.settled(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	pid, err := dev.Restart(ctx, b.path, b.node.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "%s was killed and is started (pid %d)\n", b.node.ID, pid)
	limit, cancel := context.WithTimeout(ctx, benchRestartLimit)
	defer cancel()
	end := time.Now()
	for _, step := range []struct {
		what string
		at   *float64
		wait func(context.Context) error
	}{
		{"ready", &r.Ready, b.ready}, {"serving", &r.Serving, b.serving}, {"caught up", &r.CaughtUp, b.caughtUp},
	} {
		if err := step.wait(limit); err != nil {
			return fmt.Errorf("%s is started and not %s: %w", b.node.ID, step.what, err)
		}
		end = time.Now()
		*step.at = end.Sub(began).Seconds()
		fmt.Fprintf(progress, "%s after %.2f s\n", step.what, *step.at)
		if step.at == &r.Serving {
			r.AtServing = residentMemory(pid, "VmRSS")
		}
	}
	var st admin.Status
	if err := b.operator.any(ctx, b.other, "/debug/status", &st); err == nil && terms(st.Groups) > term {
		r.Elections = int(terms(st.Groups) - term)
	}
	if b.rate > 0 {
		r.Meanwhile = load.between(began, end)
	}
	pause(ctx, time.Duration(b.watch)*time.Second)
	r.AtEnd, r.Peak = residentMemory(pid, "VmRSS"), residentMemory(pid, "VmHWM")
	return ctx.Err()
}

func (r *restartResult) print(w io.Writer) error {
	wiped := ""
	if r.Wiped {
		wiped = ", its disk wiped"
	}
	_, err := fmt.Fprintf(w, "%s (%s) with %d sessions%s: ready after %.2f s, serving after %.2f s, caught up after %.2f s; %d elections\n"+
		"resident: %s when it served, %s at the end, %.0f MiB at most\n",
		r.Node, r.Role, r.Sessions, wiped, r.Ready, r.Serving, r.CaughtUp, r.Elections, r.AtServing, r.AtEnd, r.Peak.RSS)
	if err == nil && r.Quiet != nil {
		_, err = fmt.Fprintf(w, "turns before: %.0f per second, p50 %.1f ms, p99 %.1f ms; meanwhile: %.0f per second, p50 %.1f ms, p99 %.1f ms (%.1f x); %d errors, %d not sent\n",
			r.Quiet.PerSecond, r.Quiet.P50, r.Quiet.P99, r.Meanwhile.PerSecond, r.Meanwhile.P50, r.Meanwhile.P99, r.Meanwhile.P99/max(r.Quiet.P99, 0.001), r.Meanwhile.Errors, r.NotSent)
	}
	return err
}
