package logs

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/skein-mesh/skein/bench/logload"
)

// Report is what a run found; the first store is the product's.
type Report struct {
	Stores []Store `json:"stores"`
}

// Store is one store and its medians.
type Store struct {
	Name string `json:"name"`
	Raft string `json:"raft"` // the version under which it runs
	logload.Figures
}

// WriteJSON writes the report as one JSON object on one line.
func (r *Report) WriteJSON(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// line is one figure of every store.
type line struct {
	title string
	get   func(Store) float64
}

func (r *Report) lines() (all []line) {
	for i, a := range r.Stores[0].Appends {
		all = append(all,
			line{fmt.Sprintf("append of %d, p50 us", a.Entries), func(s Store) float64 { return s.Appends[i].P50 }},
			line{fmt.Sprintf("append of %d, p99 us", a.Entries), func(s Store) float64 { return s.Appends[i].P99 }})
	}
	return append(all,
		line{"store the term, p50 us", func(s Store) float64 { return s.Term }},
		line{"reopen and read one, ms", func(s Store) float64 { return s.Reopen }},
		line{"cut a hundredth off the end, ms", func(s Store) float64 { return s.CutBack }},
		line{"cut half off the front, ms", func(s Store) float64 { return s.CutFront }})
}

// WriteTable writes the report for people: a column a store, behind each figure how many times the product's it is.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, s := range r.Stores {
		fmt.Fprintf(t, "%s (raft %s)\t", s.Name, s.Raft)
	}
	fmt.Fprintln(t)
	for _, l := range r.lines() {
		fmt.Fprintf(t, "%s\t", l.title)
		ours := l.get(r.Stores[0])
		for i, s := range r.Stores {
			if v := l.get(s); i == 0 || ours == 0 {
				fmt.Fprintf(t, "%.4g\t", v)
			} else {
				fmt.Fprintf(t, "%.4g (%.1f x)\t", v, v/ours)
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
