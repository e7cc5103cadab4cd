package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
)

// listing is what members, regions and sessions have in common.
type listing struct {
	mesh   meshFlag
	asJSON bool
}

func (l *listing) register(cmd *cobra.Command) {
	l.mesh.register(cmd)
	cmd.Flags().BoolVar(&l.asJSON, "json", false, "print JSON")
}

func (l *listing) operator() (*operator, error) {
	m, _, err := l.mesh.read()
	if err != nil {
		return nil, err
	}
	return newOperator(m)
}

func membersCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use: "members", Short: "List the nodes of the mesh", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := l.operator()
			if err != nil {
				return err
			}
			var answer struct {
				Members []admin.Member `json:"members"`
			}
			if err := o.any(cmd.Context(), everyNode, "/v1/members", &answer); err != nil {
				return fmt.Errorf("members: %w", err)
			}
			if l.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
			}
			return printMembers(cmd.OutOrStdout(), answer.Members)
		},
	}
	l.register(cmd)
	return cmd
}

func printMembers(w io.Writer, members []admin.Member) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tREGION\tZONE\tSTATUS\tVOTER\tLEADS\tLOAD\tRTT\tQUIC")
	for _, m := range members {
		status := m.Status
		if m.Draining {
			status += ", draining"
		}
		rtt := "-"
		if m.RTT > 0 {
			rtt = fmt.Sprintf("%.1f ms", m.RTT)
		}
		addr := "-"
		if len(m.QUIC) > 0 {
			addr = m.QUIC[0]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%s\n", m.Node, m.Region, m.Zone, status, yesNo(m.Voter), leads(m), m.Load, rtt, addr)
	}
	return t.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func regionsCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use: "regions", Short: "List the regions, their zones and their leaders", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := l.operator()
			if err != nil {
				return err
			}
			list, faults := allRegions(cmd.Context(), o)
			if len(list) == 0 {
				return fmt.Errorf("regions: %w", errors.Join(faults...))
			}
			warn(cmd, faults)
			if l.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					Regions []admin.Region `json:"regions"`
				}{list})
			}
			return printRegions(cmd.OutOrStdout(), list)
		},
	}
	l.register(cmd)
	return cmd
}

// allRegions asks each region about itself, since only its own nodes know its leader; of a region that does not
// answer it gives what another one knows, and a fault.
func allRegions(ctx context.Context, o *operator) ([]admin.Region, []error) {
	type answer struct {
		Regions []admin.Region `json:"regions"`
	}
	names := o.regions()
	answers, faults := askRegions(names, func(name skein.Region) (answer, error) {
		var a answer
		err := o.any(ctx, inRegion(name), "/v1/regions", &a)
		return a, err
	})
	var list []admin.Region
	for i, a := range answers {
		if len(a.Regions) == 0 && o.any(ctx, everyNode, "/v1/regions", &a) != nil {
			continue
		}
		for _, r := range a.Regions {
			if r.Region == names[i] {
				list = append(list, r)
			}
		}
	}
	return list, faults
}

// askRegions asks all regions at once, so that a silent one costs its time only once. The answers are in the order of
// names; that of a region which did not answer is the zero value, and a fault.
func askRegions[T any](names []skein.Region, ask func(skein.Region) (T, error)) ([]T, []error) {
	answers, errs := make([]T, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { answers[i], errs[i] = ask(name) })
	}
	wg.Wait()
	var faults []error
	for i, err := range errs {
		if err != nil {
			faults = append(faults, fmt.Errorf("region %s: %w", names[i], err))
		}
	}
	return answers, faults
}

// warn tells what is missing in an answer that is useful all the same.
func warn(cmd *cobra.Command, faults []error) {
	for _, err := range faults {
		fmt.Fprintf(cmd.ErrOrStderr(), "skein: warning: %s\n", oneLine(err))
	}
}

func printRegions(w io.Writer, list []admin.Region) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REGION\tZONES\tALIVE\tDRAINING\tVOTERS\tLEADER\tQUORUM\tSURVIVES A ZONE")
	for _, r := range list {
		leader, quorum, survives := leaders(r.Leaders), yesNo(r.Quorum), yesNo(r.SurvivesZone)
		if !r.Local {
			leader, quorum, survives = "?", "?", "?"
		}
		fmt.Fprintf(t, "%s\t%d\t%d of %d\t%d\t%d\t%s\t%s\t%s\n", r.Region, len(r.Zones), r.Alive, r.Nodes, r.Draining, r.Voters, leader, quorum, survives)
	}
	return t.Flush()
}

func sessionsCommand() *cobra.Command {
	var l listing
	var region, after string
	var limit int
	cmd := &cobra.Command{
		Use: "sessions", Short: "List the sessions of the mesh; close or erase one", Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return &usageError{fmt.Errorf("--limit %d: want 1 to 1000", limit)}
			}
			o, err := l.operator()
			if err != nil {
				return err
			}
			regions := o.regions()
			if region != "" {
				regions = []skein.Region{skein.Region(region)}
			}
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if after != "" {
				query.Set("after", after)
			}
			list, faults := allSessions(cmd.Context(), o, regions, "/v1/sessions?"+query.Encode())
			if len(faults) == len(regions) {
				return fmt.Errorf("sessions: %w", errors.Join(faults...))
			}
			warn(cmd, faults)
			if l.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(admin.SessionPage{Sessions: list})
			}
			return printSessions(cmd.OutOrStdout(), list)
		},
	}
	l.register(cmd)
	cmd.Flags().StringVar(&region, "region", "", "only this region's")
	completeRegion(cmd, &l.mesh)
	cmd.Flags().StringVar(&after, "after", "", "only ids behind this one")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many of each region, 1 to 1000")
	cmd.AddCommand(closeCommand(), eraseCommand())
	return cmd
}

// allSessions gives the page of each region that answers, one behind the other.
func allSessions(ctx context.Context, o *operator, regions []skein.Region, path string) ([]admin.Session, []error) {
	pages, faults := askRegions(regions, func(r skein.Region) (admin.SessionPage, error) {
		var page admin.SessionPage
		err := o.any(ctx, inRegion(r), path, &page)
		return page, err
	})
	list := []admin.Session{}
	for _, page := range pages {
		list = append(list, page.Sessions...)
	}
	return list, faults
}

func printSessions(w io.Writer, list []admin.Session) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tSUBJECT\tASSISTANT\tTURNS\tSEQ\tNODE\tOPEN TURN")
	for _, s := range list {
		open := dash(s.OpenTurn)
		if s.Closed {
			open = "closed"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", s.Session, s.Subject, s.Assistant, s.Turns, s.Seq, dash(string(s.Node)), open)
	}
	return t.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// drainCommand is `skein drain` or, with on false, `skein undrain`.
func drainCommand(on bool) *cobra.Command {
	var l listing
	verb, short := "drain", "Send a node's clients elsewhere; it takes no new turns"
	if !on {
		verb, short = "undrain", "Let a drained node take clients again"
	}
	cmd := &cobra.Command{
		Use: verb + " NODE", Short: short, Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := l.operator()
			if err != nil {
				return err
			}
			node, err := o.mesh.Node(skein.NodeID(args[0]))
			if err != nil {
				return err
			}
			var done admin.Drained
			if err := o.ask(cmd.Context(), node, http.MethodPost, "/v1/nodes/"+url.PathEscape(args[0])+"/"+verb, &done); err != nil {
				return fmt.Errorf("%s: %w", verb, err)
			}
			if l.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
			}
			state := "takes clients again"
			if done.Draining {
				state = "drains: its clients are sent to other nodes, and the turns that run on it end first"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", done.Node, state)
			return err
		},
	}
	l.register(cmd)
	completeNodes(cmd, &l.mesh)
	return cmd
}
