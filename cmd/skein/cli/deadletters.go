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
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Characters of a failure's reason, and of a message, in the table of dead letters.
const (
	shownReason = 60
	shownText   = 40
)

// deadLettersCommand is `skein deadletters`: by itself it lists.
func deadLettersCommand() *cobra.Command {
	cmd := deadLettersList("deadletters")
	cmd.Short = "List the turns that used up their attempts; retry or drop one"
	cmd.Long = "List the turns that failed as often as a turn may, or for good. Their clients got the error turn_dead, and the sessions\n" +
		"go on. A session keeps its newest turns only: a dead one that newer ones have pushed out is no longer listed."
	cmd.Args = knownCommand
	cmd.AddCommand(deadLettersList("list"), settleCommand("retry"), settleCommand("drop"))
	return cmd
}

// letterList is what a list of dead letters is asked for with.
type letterList struct {
	listing
	region, after string
	limit         int
}

func deadLettersList(use string) *cobra.Command {
	var l letterList
	cmd := &cobra.Command{
		Use: use, Short: "List the dead letters of the mesh", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd) },
	}
	l.register(cmd)
	cmd.Flags().StringVar(&l.region, "region", "", "only this region's")
	completeRegion(cmd, &l.mesh)
	cmd.Flags().StringVar(&l.after, "after", "", "only those of sessions with ids behind this one")
	cmd.Flags().IntVar(&l.limit, "limit", 100, "about this many of each region, 1 to 1000; a session's are listed together")
	return cmd
}

func (l *letterList) run(cmd *cobra.Command) error {
	if l.limit < 1 || l.limit > 1000 {
		return &usageError{fmt.Errorf("--limit %d: want 1 to 1000", l.limit)}
	}
	o, err := l.operator()
	if err != nil {
		return err
	}
	regions := o.regions()
	if l.region != "" {
		regions = []skein.Region{skein.Region(l.region)}
	}
	query := url.Values{"limit": {strconv.Itoa(l.limit)}}
	if l.after != "" {
		query.Set("after", l.after)
	}
	pages, faults := askRegions(regions, func(r skein.Region) (admin.DeadLetterPage, error) {
		var page admin.DeadLetterPage
		err := o.any(cmd.Context(), inRegion(r), "/v1/deadletters?"+query.Encode(), &page)
		return page, err
	})
	if len(faults) == len(regions) {
		return fmt.Errorf("deadletters: %w", errors.Join(faults...))
	}
	warn(cmd, faults)
	all := admin.DeadLetterPage{DeadLetters: []admin.DeadLetter{}}
	for i, page := range pages {
		all.DeadLetters = append(all.DeadLetters, page.DeadLetters...)
		if page.Next == "" {
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "skein: region %s has more: --region %s --after %s\n", regions[i], regions[i], page.Next)
		if len(regions) == 1 {
			all.Next = page.Next
		}
	}
	if l.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
	}
	return printDeadLetters(cmd.OutOrStdout(), all.DeadLetters)
}

func printDeadLetters(w io.Writer, list []admin.DeadLetter) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tTURN\tSUBJECT\tDIED\tFAILURES\tNODE\tRETRY\tREASON\tMESSAGE")
	for _, l := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", l.Session, l.Turn, oneCell(string(l.Subject), shownText),
			l.DiedAt.UTC().Format(time.DateTime+"Z"), l.Failures, dash(string(l.Node)), yesNo(l.Retriable),
			oneCell(l.Reason, shownReason), oneCell(l.Text, shownText))
	}
	return t.Flush()
}

// oneCell makes text of others fit for a cell of a table on a terminal: no control characters, at most limit others.
func oneCell(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)), " ")
	if runes := []rune(s); len(runes) > limit {
		s = string(runes[:limit-1]) + "…"
	}
	return dash(s)
}

// settleCommand is `skein deadletters retry` or `skein deadletters drop`.
func settleCommand(verb string) *cobra.Command {
	var l listing
	short := "Let a dead turn, the last of its session, run again"
	if verb == "drop" {
		short = "Take a dead turn off the list; its client goes on getting turn_dead"
	}
	cmd := &cobra.Command{
		Use: verb + " SESSION TURN", Short: short, Args: usageArgs(cobra.ExactArgs(2)), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			id := skein.SessionID(args[0])
			turn, err := skein.ParseTurnID(args[1])
			if err = errors.Join(id.Validate(), err); err != nil {
				return &usageError{err}
			}
			o, err := l.operator()
			if err != nil {
				return err
			}
			path := "/v1/deadletters/" + url.PathEscape(string(id)) + "/" + url.PathEscape(turn.String()) + "/" + verb
			region, _ := id.Split()
			var done admin.Settled
			if err := o.order(cmd.Context(), inRegion(region), path, &done); err != nil {
				return fmt.Errorf("%s %s %s: %w", verb, id, turn, err)
			}
			if l.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
			}
			return printSettled(cmd.OutOrStdout(), verb, done)
		},
	}
	l.register(cmd)
	return cmd
}

func printSettled(w io.Writer, verb string, done admin.Settled) error {
	what := "is off the list"
	if verb == "retry" {
		what = "runs again"
	}
	if done.Known {
		what += ": that was ordered before, it is " + done.Status
	}
	_, err := fmt.Fprintf(w, "%s %s %s\n", done.Session, done.Turn, what)
	return err
}

// order asks nodes for which want holds to do something that any of them can, living ones first, until one answers.
// What it orders may be ordered twice: a node that was silent may have done it.
func (o *operator) order(ctx context.Context, want func(meshfile.Node) bool, path string, out any) error {
	var last why
	for _, n := range livingFirst(o.mesh.Nodes) {
		if !want(n) {
			continue
		}
		err := o.ask(ctx, n, http.MethodPost, path, out)
		e, refused := errors.AsType[*skein.Error](err)
		if err == nil || ctx.Err() != nil || refused && !e.Code.Retry() {
			return err
		}
		last.add(err)
	}
	if last.err == nil {
		return errNoNodes
	}
	return fmt.Errorf("no node does it: %w", last.err)
}
