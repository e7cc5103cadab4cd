package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// watchAsk bounds one question of a round; a node that does not answer by then is shown as silent.
const watchAsk = 900 * time.Millisecond

func watchCommand() *cobra.Command {
	var mesh meshFlag
	var interval time.Duration
	var once bool
	cmd := &cobra.Command{
		Use: "watch", Short: "Show the mesh live in the terminal", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < 200*time.Millisecond {
				return &usageError{fmt.Errorf("--interval %s: want at least 200ms", interval)}
			}
			// Fail at once where nothing can ever be shown.
			m, path, err := mesh.running()
			if err != nil {
				return err
			}
			if _, err := newOperator(m); err != nil {
				return err
			}
			return watch(cmd.Context(), cmd.OutOrStdout(), path, interval, once)
		},
	}
	mesh.register(cmd)
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "pause between two looks")
	cmd.Flags().BoolVar(&once, "once", false, "look once and end")
	return cmd
}

// watch reads the mesh file at each look, since a dev mesh changes it.
func watch(ctx context.Context, w io.Writer, path string, interval time.Duration, once bool) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	s := openScreen(w, once)
	defer s.close()
	for {
		m, err := meshfile.Read(path)
		if err != nil {
			return err
		}
		o, err := newOperator(m)
		if err != nil {
			return err
		}
		var page bytes.Buffer
		fmt.Fprintf(&page, "%s  %s\n\n", m.Service, time.Now().Format(time.TimeOnly))
		printStatus(&page, m, o.statuses(ctx))
		if err := s.show(page.String()); err != nil {
			return err
		}
		if once {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// statuses asks all nodes at once; nil stands for one that does not answer.
func (o *operator) statuses(ctx context.Context) []*admin.Status {
	ctx, cancel := context.WithTimeout(ctx, watchAsk)
	defer cancel()
	list := make([]*admin.Status, len(o.mesh.Nodes))
	var wg sync.WaitGroup
	for i, n := range o.mesh.Nodes {
		wg.Go(func() {
			var st admin.Status
			if o.ask(ctx, n, http.MethodGet, "/debug/status", &st) == nil {
				list[i] = &st
			}
		})
	}
	wg.Wait()
	return list
}

func printStatus(w io.Writer, m *meshfile.File, list []*admin.Status) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tREGION\tZONE\tSTATE\tROLE\tSESSIONS\tOPEN\tAPPLIED\tHASH\tLOAD\tRSS\tUP")
	for i, n := range m.Nodes {
		st := list[i]
		if st == nil {
			fmt.Fprintf(t, "%s\t%s\t%s\tsilent\t-\t-\t-\t-\t-\t-\t-\t-\n", n.ID, n.Region, n.Zone)
			continue
		}
		state, load := "ready", float32(0)
		if st.Ready != "ok" {
			state = st.Ready
		}
		for _, member := range st.Members {
			if member.Node != n.ID {
				continue
			}
			load = member.Load
			if member.Draining {
				state = "draining"
			}
		}
		g := sum(st.Groups)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%.8s\t%.2f\t%d MiB\t%s\n", n.ID, n.Region, n.Zone, state, g.Role, g.Sessions, g.OpenTurns,
			g.Applied, dash(g.Hash), load, st.RSS>>20, (time.Duration(st.Uptime) * time.Second).String())
	}
	t.Flush()
}
