package logload

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Open opens or makes the store in dir, which exists.
type Open func(dir string) (Store, error)

// Plan is one pass over one store.
type Plan struct {
	Dir     string        `json:"dir"`     // exists and is empty; each part makes a directory of its own in it
	Appends []int         `json:"appends"` // entries per append, one after the other
	Each    time.Duration `json:"each"`    // how long to append so
	Filled  int           `json:"filled"`  // entries of the log that is reopened and cut; at least 100
}

// Figures is what a pass found.
type Figures struct {
	Appends  []Append `json:"appends"`
	Term     float64  `json:"term_us"`      // median of storing a term, microseconds
	Reopen   float64  `json:"reopen_ms"`    // opening a filled log and reading the entry in its middle, milliseconds
	CutBack  float64  `json:"cut_back_ms"`  // removing the last hundredth of it, as after a lost election
	CutFront float64  `json:"cut_front_ms"` // removing its first half, as after a snapshot
}

// Append is the time of appends of one size, in microseconds.
type Append struct {
	Entries int     `json:"entries"`
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
}

// terms is how often the term is stored.
const terms = 200

// Run makes one pass. An error names the part; a store that returns other entries than were written is one too.
func Run(open Open, p Plan) (f Figures, err error) {
	if p.Filled < 100 || p.Each <= 0 {
		return f, fmt.Errorf("a plan of %d entries and %v: want at least 100 and some time", p.Filled, p.Each)
	}
	for _, n := range p.Appends {
		a, err := p.appends(open, n)
		if err != nil {
			return f, fmt.Errorf("appends of %d: %w", n, err)
		}
		f.Appends = append(f.Appends, a)
	}
	if f.Term, err = p.term(open); err != nil {
		return f, fmt.Errorf("store the term: %w", err)
	}
	if err := p.filled(open, &f); err != nil {
		return f, fmt.Errorf("log of %d entries: %w", p.Filled, err)
	}
	return f, nil
}

// within opens a store in a new directory, which is removed afterwards.
func (p Plan) within(open Open, name string, do func(s Store, dir string) error) (err error) {
	dir := filepath.Join(p.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := open(dir)
	if err != nil {
		return err
	}
	return do(s, dir)
}

func (p Plan) appends(open Open, n int) (a Append, err error) {
	err = p.within(open, fmt.Sprintf("append-%d", n), func(s Store, _ string) error {
		var took []time.Duration
		next := uint64(1)
		for end := time.Now().Add(p.Each); time.Now().Before(end); next += uint64(n) {
			at := time.Now()
			if err := s.append(next, n); err != nil {
				return errors.Join(err, s.close())
			}
			took = append(took, time.Since(at))
		}
		slices.Sort(took)
		a = Append{Entries: n, P50: micros(rank(took, 50)), P99: micros(rank(took, 99))}
		return s.close()
	})
	return a, err
}

func (p Plan) term(open Open) (median float64, err error) {
	err = p.within(open, "term", func(s Store, _ string) error {
		took := make([]time.Duration, terms)
		for i := range took {
			at := time.Now()
			if err := s.setTerm(uint64(i)); err != nil {
				return errors.Join(err, s.close())
			}
			took[i] = time.Since(at)
		}
		slices.Sort(took)
		median = micros(rank(took, 50))
		return s.close()
	})
	return median, err
}

// fillChunk is how many entries an append of the filled log has, at most.
const fillChunk = 1000

func (p Plan) filled(open Open, f *Figures) error {
	return p.within(open, "filled", func(s Store, dir string) error {
		for next := 1; next <= p.Filled; next += fillChunk {
			if err := s.append(uint64(next), min(fillChunk, p.Filled-next+1)); err != nil {
				return errors.Join(err, s.close())
			}
		}
		if err := s.close(); err != nil {
			return err
		}
		at := time.Now()
		s, err := open(dir)
		if err != nil {
			return err
		}
		if err := s.read(uint64(p.Filled / 2)); err != nil {
			return errors.Join(err, s.close())
		}
		f.Reopen = millis(time.Since(at))
		return errors.Join(p.cut(s, f), s.close())
	})
}

// cut removes from both ends and checks what is left.
func (p Plan) cut(s Store, f *Figures) error {
	filled := uint64(p.Filled)
	end, begin := filled-filled/100, filled/2
	at := time.Now()
	if err := s.remove(end+1, filled); err != nil {
		return err
	}
	f.CutBack = millis(time.Since(at))
	at = time.Now()
	if err := s.remove(1, begin); err != nil {
		return err
	}
	f.CutFront = millis(time.Since(at))
	first, last, err := s.bounds()
	if err != nil {
		return err
	}
	if first != begin+1 || last != end {
		return fmt.Errorf("after the cuts it holds %d to %d, want %d to %d", first, last, begin+1, end)
	}
	return errors.Join(s.append(end+1, 1), s.read(end+1), s.read(begin+1))
}

// rank gives the percentile of sorted durations by nearest rank, 0 of none.
func rank(sorted []time.Duration, percent float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	at := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[max(at, 1)-1]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
