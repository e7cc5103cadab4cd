package store

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Report is what a run found, in the order in which it ran.
type Report struct {
	Results []Result `json:"results"`
	Ratios  Ratios   `json:"ratios"`

	notes []string // what a reader of the figures has to know
}

// Ratios are our records per second over theirs at the largest number of clients, with clients that reach their
// system over loopback TCP.
type Ratios struct {
	Etcd float64 `json:"etcd"`
	NATS float64 `json:"nats"`
}

// find gives the result of a system, false when it did not run.
func (r *Report) find(system string, clients int) (Result, bool) {
	for _, x := range r.Results {
		if x.System == system && x.Clients == clients {
			return x, true
		}
	}
	return Result{}, false
}

// ratio gives our records per second over theirs at the same number of clients, 0 when one of the two is missing.
func (r *Report) ratio(system string, clients int) float64 {
	ours, ok := r.find(nameSkein, clients)
	theirs, there := r.find(system, clients)
	if !ok || !there || theirs.PerSecond == 0 {
		return 0
	}
	return round(ours.PerSecond/theirs.PerSecond, 2)
}

// conclude fills in the ratios.
func (r *Report) conclude() {
	most := 0
	for _, x := range r.Results {
		most = max(most, x.Clients)
	}
	r.Ratios = Ratios{Etcd: r.ratio(nameEtcd, most), NATS: r.ratio(nameNATS, most)}
}

// WriteJSON writes the report as one JSON object on one line.
func (r *Report) WriteJSON(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// WriteTable writes the report for people, with the ratio of our records per second to those of every other line.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "clients\tsystem\trecords/s\tp50 ms\tp99 ms\tskein is\t\n")
	for i, x := range r.Results {
		if i > 0 && x.Clients != r.Results[i-1].Clients {
			fmt.Fprintf(t, "\t\t\t\t\t\t\n")
		}
		times := ""
		if x.System != nameSkein {
			times = fmt.Sprintf("%.2f x", r.ratio(x.System, x.Clients))
		}
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%.2f\t%.2f\t%s\t\n", x.Clients, x.System, x.PerSecond, x.P50, x.P99, times)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for _, note := range r.notes {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}
