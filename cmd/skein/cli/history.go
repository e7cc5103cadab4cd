package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
)

// shownSaid is how many characters of a text the table shows.
const shownSaid = 80

// saidPage is how many events one question asks for.
const saidPage = 500

// historyAsk is what `skein history` is asked for with.
type historyAsk struct {
	listing
	subject, region, from, to, after string
	limit                            int
	latest                           bool
}

// historyCommand is `skein history`.
func historyCommand() *cobra.Command {
	var h historyAsk
	cmd := &cobra.Command{
		Use: "history --subject SUBJECT", Short: "Show what was said in a subject's sessions", Args: usageArgs(cobra.NoArgs),
		Long: "Show what was said in the sessions of a subject, closed ones included, in the order in which the sessions were opened.\n" +
			"Times are those of the nodes' clocks.",
		RunE: func(cmd *cobra.Command, _ []string) error { return h.run(cmd) },
	}
	h.register(cmd)
	cmd.Flags().StringVar(&h.subject, "subject", "", "whose sessions; needed")
	cmd.Flags().StringVar(&h.region, "region", "", "only this region's")
	completeRegion(cmd, &h.mesh)
	cmd.Flags().StringVar(&h.from, "from", "", "only what was said at this time or later, as in 2026-03-01T12:00:00Z or 2026-03-01")
	cmd.Flags().StringVar(&h.to, "to", "", "only what was said before this time")
	cmd.Flags().StringVar(&h.after, "after", "", "go on behind a page; needs --region")
	cmd.Flags().IntVar(&h.limit, "limit", 1000, "at most this many events of each region, 1 to 100000")
	cmd.Flags().BoolVar(&h.latest, "latest", false, "wait for all that was committed before")
	return cmd
}

func (h *historyAsk) query() (url.Values, error) {
	q := url.Values{"subject": {h.subject}}
	if h.subject == "" {
		return nil, errors.New("--subject SUBJECT is needed")
	}
	if h.limit < 1 || h.limit > 100_000 {
		return nil, fmt.Errorf("--limit %d: want 1 to 100000", h.limit)
	}
	if h.after != "" && h.region == "" {
		return nil, errors.New("--after needs --region: each region has pages of its own")
	}
	for name, text := range map[string]string{"from": h.from, "to": h.to} {
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			if at, err = time.ParseInLocation(time.DateOnly, text, time.Local); err != nil {
				return nil, fmt.Errorf("--%s %q: want a time as in 2026-03-01T12:00:00Z or 2026-03-01", name, text)
			}
		}
		q.Set(name, at.UTC().Format(time.RFC3339))
	}
	if h.latest {
		q.Set("latest", "true")
	}
	return q, nil
}

func (h *historyAsk) run(cmd *cobra.Command) error {
	query, err := h.query()
	if err != nil {
		return &usageError{err}
	}
	o, err := h.operator()
	if err != nil {
		return err
	}
	regions := o.regions()
	if h.region != "" {
		regions = []skein.Region{skein.Region(h.region)}
	}
	pages, faults := askRegions(regions, func(r skein.Region) (admin.SaidPage, error) {
		return h.all(cmd, o, r, query)
	})
	if len(faults) == len(regions) {
		return fmt.Errorf("history: %w", errors.Join(faults...))
	}
	warn(cmd, faults)
	all := admin.SaidPage{Said: []admin.Said{}}
	for i, page := range pages {
		all.Said = append(all.Said, page.Said...)
		if page.Next == "" {
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "skein: region %s has more: --region %s --after %s\n", regions[i], regions[i], page.Next)
		if len(regions) == 1 {
			all.Next = page.Next
		}
	}
	if h.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
	}
	return printSaid(cmd.OutOrStdout(), all.Said)
}

// all asks one region page by page, up to the limit.
func (h *historyAsk) all(cmd *cobra.Command, o *operator, r skein.Region, query url.Values) (admin.SaidPage, error) {
	q := url.Values{}
	for name, v := range query {
		q[name] = v
	}
	all := admin.SaidPage{Next: h.after}
	for {
		q.Set("limit", strconv.Itoa(min(saidPage, h.limit-len(all.Said))))
		if all.Next != "" {
			q.Set("after", all.Next)
		}
		var page admin.SaidPage
		if err := o.any(cmd.Context(), inRegion(r), "/v1/history?"+q.Encode(), &page); err != nil {
			return all, err
		}
		all.Said, all.Next = append(all.Said, page.Said...), page.Next
		if page.Next == "" || len(all.Said) >= h.limit {
			return all, nil
		}
	}
}

func printSaid(w io.Writer, list []admin.Said) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing was said")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "AT\tSESSION\tSEQ\tWHAT\tTURN\tTEXT")
	for _, s := range list {
		text := s.Text
		if text == "" {
			text = s.Tool
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", s.At.UTC().Format(time.DateTime+"Z"), s.Session, s.Seq, s.Kind, dash(s.Turn), oneCell(text, shownSaid))
	}
	return t.Flush()
}
