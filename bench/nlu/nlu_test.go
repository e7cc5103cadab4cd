package nlu

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/assistant/intent"
	"github.com/skein-mesh/skein/assistant/tagger"
)

var data = flag.String("data", "", "folder with the data sets; without it the tests that need them are skipped")

// TestFloors holds the quicker sets to their floors on the splits that nothing was tuned on.
func TestFloors(t *testing.T) {
	if *data == "" {
		t.Skip("-data names no folder with the data sets")
	}
	for _, only := range []string{"crosswoz", "guard", "stackfaq", "xquad"} {
		report, err := Run(t.Context(), Config{Data: *data, Only: only})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range report.Missed() {
			t.Errorf("%s, %s: got %.4f, want at least %.4f", row.Set, row.Measure, row.Figure, row.Floor)
		}
	}
}

func TestNoData(t *testing.T) {
	for _, s := range sets {
		if _, err := Run(t.Context(), Config{Data: t.TempDir(), Only: s.name}); err == nil || !strings.HasPrefix(err.Error(), s.name+": ") {
			t.Errorf("%s in an empty folder: got error %v", s.name, err)
		}
	}
	if _, err := Run(t.Context(), Config{Only: "another"}); err == nil || !strings.Contains(err.Error(), "there are clinc, snips") {
		t.Errorf("another set: got error %v", err)
	}
}

func TestReadSnips(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "snips"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := "play O\nthe B-track\nwall I-track\nby O\npink I-artist\nfloyd I-artist\nnow B-when\nnow B-when\nPlayMusic\n\nstop O\nPlayMusic\n"
	if err := os.WriteFile(filepath.Join(dir, "snips", "dev.txt"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := readSnips(dir, "dev")
	if err != nil || len(got) != 2 {
		t.Fatalf("got %v, error %v", got, err)
	}
	want := []tagger.Span{{From: 1, To: 3, Label: "track"}, {From: 4, To: 6, Label: "artist"}, {From: 6, To: 7, Label: "when"}, {From: 7, To: 8, Label: "when"}}
	if !slices.Equal(got[0].Spans, want) || got[0].Intent != "PlayMusic" || len(got[1].Spans) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestConll(t *testing.T) {
	var c conll
	c.add([]tagger.Span{{From: 0, To: 2, Label: "a"}, {From: 3, To: 4, Label: "b"}}, []tagger.Span{{From: 0, To: 2, Label: "a"}, {From: 3, To: 5, Label: "b"}, {From: 6, To: 7, Label: "b"}})
	if got := c.f1(); got != 0.4 {
		t.Errorf("got %g, want 0.4", got)
	}
}

func guesses(class string, outside ...float64) (all []understood) {
	for _, o := range outside {
		all = append(all, understood{labelled{"", class}, intent.Guess{Ranked: intent.Ranked{Class: "a", Confidence: 0.8}, Outside: o}})
	}
	return all
}

func TestThreshold(t *testing.T) {
	var in []understood
	for i := range 200 {
		in = append(in, guesses("a", float64(i)/1000)...)
	}
	limit := threshold(in, guesses("oos", 0.5, 0.19, 0.1985))
	if got := accuracy(in, limit); got < 0.99 || got > 0.996 {
		t.Errorf("accuracy at %.4f: got %.4f, want to lose no more than 0.01, and nearly that", limit, got)
	}
	if got := refused(guesses("oos", 0.5, 0.1, 0.3), limit); got < 0.66 || got > 0.67 {
		t.Errorf("refused: got %.4f, want two thirds", got)
	}
}

func TestCalibration(t *testing.T) {
	all := append(guesses("a", 0, 0, 0), guesses("b", 0)...) // 0.8 said, 0.75 true
	if got := calibration(all); got < 0.049 || got > 0.051 {
		t.Errorf("got %g, want 0.05", got)
	}
}

func TestTable(t *testing.T) {
	r := Report{Rows: []Row{{"s", "m", 0.5, 0.4, "n"}, {"s", "k", 0, 0.1, ""}, {"s", "l", 0.5, 0.5, ""}}}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "0.500  0.4000  below") || strings.Count(got, "\n") != 4 || len(r.Missed()) != 1 {
		t.Errorf("got\n%s", got)
	}
	if got := (timings{3 * time.Millisecond, time.Millisecond}).String(); got != "a message p50 3ms, p99 3ms" {
		t.Errorf("got %q", got)
	}
}
