package nlu

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Row is one line of the report.
type Row struct {
	Set, Measure  string
	Floor, Figure float64 // floor 0: none was set
	Note          string
}

// met reports whether the figure reaches its floor.
func (r Row) met() bool { return r.Figure >= r.Floor }

// Report is what was measured.
type Report struct{ Rows []Row }

func (r *Report) add(set, measure string, floor, figure float64, note string) {
	r.Rows = append(r.Rows, Row{set, measure, floor, figure, note})
}

// Missed gives the rows below their floor.
func (r *Report) Missed() []Row {
	return slices.DeleteFunc(slices.Clone(r.Rows), Row.met)
}

// WriteTable writes the report as text.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "set\tmeasure\tfloor\tfigure\t\tnote")
	for _, row := range r.Rows {
		floor, mark := "-", ""
		if row.Floor > 0 {
			floor, mark = fmt.Sprintf("%.3f", row.Floor), "ok"
			if !row.met() {
				mark = "below"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.4f\t%s\t%s\n", row.Set, row.Measure, floor, row.Figure, mark, row.Note)
	}
	return t.Flush()
}

// timings are how long single messages took.
type timings []time.Duration

func (t timings) String() string {
	if len(t) == 0 {
		return ""
	}
	s := slices.Sorted(slices.Values(t))
	return fmt.Sprintf("a message p50 %v, p99 %v", s[len(s)/2].Round(time.Microsecond), s[len(s)*99/100].Round(time.Microsecond))
}
