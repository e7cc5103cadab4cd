package store

import (
	"strings"
	"testing"
)

func sampleReport() *Report {
	r := &Report{
		Results: []Result{
			{"skein", 1, 1000, 0.9, 2}, {"etcd", 1, 800, 1.1, 3}, {"nats", 1, 2000, 0.5, 1},
			{"skein", 512, 30000, 15.25, 40}, {"skein-leader", 512, 40000, 12, 30}, {"etcd", 512, 7000, 70, 120}, {"nats", 512, 20000, 25, 50},
		},
		notes: []string{"before: quiet"},
	}
	r.conclude()
	return r
}

func TestJSON(t *testing.T) {
	r := sampleReport()
	r.Results = r.Results[3:]
	var out strings.Builder
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	want := `{"results":[` +
		`{"system":"skein","clients":512,"per_second":30000,"p50_ms":15.25,"p99_ms":40},` +
		`{"system":"skein-leader","clients":512,"per_second":40000,"p50_ms":12,"p99_ms":30},` +
		`{"system":"etcd","clients":512,"per_second":7000,"p50_ms":70,"p99_ms":120},` +
		`{"system":"nats","clients":512,"per_second":20000,"p50_ms":25,"p99_ms":50}],` +
		`"ratios":{"etcd":4.29,"nats":1.5}}` + "\n"
	if got := out.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := sampleReport().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{
		"clients system records/s p50 ms p99 ms skein is",
		"1 skein 1000 0.90 2.00",
		"1 etcd 800 1.10 3.00 1.25 x",
		"1 nats 2000 0.50 1.00 0.50 x",
		"",
		"512 skein 30000 15.25 40.00",
		"512 skein-leader 40000 12.00 30.00 0.75 x",
		"512 etcd 7000 70.00 120.00 4.29 x",
		"512 nats 20000 25.00 50.00 1.50 x",
		"before: quiet",
	} {
		if i >= len(got) || strings.Join(strings.Fields(got[i]), " ") != want {
			t.Fatalf("line %d: want %q in\n%s", i, want, out.String())
		}
	}
}

func TestRatios(t *testing.T) {
	r := sampleReport()
	if want := (Ratios{Etcd: 4.29, NATS: 1.5}); r.Ratios != want {
		t.Errorf("at the most clients: got %+v, want %+v", r.Ratios, want)
	}
	if got := r.ratio("etcd", 64); got != 0 {
		t.Errorf("ratio without figures: got %v, want 0", got)
	}
}
