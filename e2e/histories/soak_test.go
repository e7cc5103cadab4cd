package histories

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-mesh/skein/client"
)

var (
	soakFor  = flag.Duration("soak", 0, "run the soak for this long; a node is killed and restarted each minute, or each sixth of it")
	soakRate = flag.Int("soak-rate", 2000, "turns a second to aim at")
	soakOut  = flag.String("soak-out", "", "directory for soak.csv and soak.svg; empty: they are not kept")
)

const (
	soakConns    = 16
	soakSessions = 40 // of each connection
	soakTicks    = 50 // a second, at which turns are begun
)

// sample is what one node used at one time.
type sample struct {
	at   time.Duration
	node string
	used [4]float64 // in the order of soakSeries
}

// soakSeries are what has to be level: the medians over all nodes of the last third of the time may exceed those of the
// second third by the share that is named, and by the amount, which covers what a garbage collection or a batch of files
// makes of chance, and what the turns under way take where a busy machine stalls: one in each session, with two goroutines. A
// goroutine that each turn left behind would be ten thousand in a third of a minute.
var soakSeries = []struct {
	name   string
	share  float64
	amount float64
}{
	{"memory MiB", 0.20, 64},
	{"files MiB", 0.35, 40},
	{"goroutines", 0.20, 2 * soakConns * soakSessions},
	{"descriptors", 0.20, 24},
}

// soak is the load, as an open loop: what is not begun in time is not begun.
type soak struct {
	turns, failed, late atomic.Int64
	fault               atomic.Pointer[error] // the last one
	sessions            []*client.Session
}

// TestSoak: memory, files, goroutines and descriptors stay level under load, while a node is killed and restarted each minute.
// Sessions keep the newest turns in their state; their history grows, which is why the files' share is wider.
func TestSoak(t *testing.T) {
	need(t)
	if *soakFor == 0 {
		t.Skip("run with -args -e2e -soak 10m")
	}
	f := newFleet(t)
	f.start(f.agents...)
	f.leader()
	s := &soak{}
	s.open(f)
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { s.load(stop) })
	running.Go(func() { f.killNow(stop, min(time.Minute, *soakFor/6)) })
	began, all := time.Now(), []sample{}
	tick := time.NewTicker(min(5*time.Second, *soakFor/60))
	for time.Since(began) < *soakFor {
		<-tick.C
		for _, a := range f.agents {
			if used, err := f.used(a); err == nil {
				all = append(all, sample{time.Since(began), string(a.id), used})
			}
		}
	}
	tick.Stop()
	close(stop)
	running.Wait()
	took := time.Since(began)
	t.Logf("%d turns in %v, %.0f a second; %d failed, %d were not begun in time", s.turns.Load(), took.Round(time.Second), float64(s.turns.Load())/took.Seconds(), s.failed.Load(), s.late.Load())
	if err := s.fault.Load(); err != nil {
		t.Logf("the last failure: %v", *err)
	}
	if s.turns.Load() == 0 {
		t.Fatal("no turn was answered")
	}
	for i, x := range soakSeries {
		before, after := median(all, i, took/3, 2*took/3), median(all, i, 2*took/3, took)
		t.Logf("%-12s median of the second third %.0f, of the last %.0f", x.name, before, after)
		if after > before*(1+x.share)+x.amount {
			t.Errorf("%s grow: %.0f in the second third, %.0f in the last", x.name, before, after)
		}
	}
	if *soakOut != "" {
		if err := writeSoak(*soakOut, all); err != nil {
			t.Error(err)
		}
	}
}

func median(all []sample, series int, from, to time.Duration) float64 {
	var v []float64
	for _, s := range all {
		if s.at >= from && s.at < to {
			v = append(v, s.used[series])
		}
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (s *soak) open(f *fleet) {
	for i := range soakConns {
		var c *client.Client
		f.until("connection", 30*time.Second, func() (err error) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			k := i % len(f.agents)
			c, err = f.dial(ctx, append(append([]*agent{}, f.agents[k:]...), f.agents[:k]...)...)
			return err
		})
		f.t.Cleanup(func() { c.Close() })
		for j := range soakSessions {
			f.until("session", 30*time.Second, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				one, err := c.Open(ctx, fmt.Sprintf("eu~soak%d-%d", i, j), client.Options{})
				if err == nil {
					s.sessions = append(s.sessions, one)
				}
				return err
			})
		}
	}
}

// load begins turns at the rate, one at a time in each session.
func (s *soak) load(stop <-chan struct{}) {
	var running sync.WaitGroup
	defer running.Wait()
	free := make(chan *client.Session, len(s.sessions))
	for _, one := range s.sessions {
		free <- one
	}
	tick := time.NewTicker(time.Second / soakTicks)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for range *soakRate / soakTicks {
			select {
			case one := <-free:
				n++
				running.Go(func() {
					s.turn(one, n)
					free <- one
				})
			default:
				s.late.Add(1)
			}
		}
	}
}

func (s *soak) turn(one *client.Session, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	turn, err := one.Send(ctx, fmt.Sprintf("note R1X%d", n))
	if err == nil {
		_, err = turn.Reply(ctx)
	}
	if err != nil {
		s.failed.Add(1)
		s.fault.Store(&err)
		return
	}
	s.turns.Add(1)
}

// killNow kills a node each time and starts it again after a while.
func (f *fleet) killNow(stop <-chan struct{}, every time.Duration) {
	rng := rand.New(rand.NewPCG(1, 1))
	for {
		select {
		case <-stop:
			return
		case <-time.After(every * 2 / 3):
		}
		a := f.agents[rng.IntN(len(f.agents))]
		f.kill(a)
		select {
		case <-stop:
		case <-time.After(every / 3):
		}
		f.start(a)
	}
}

// used measures a node from outside, as an operator would.
func (f *fleet) used(a *agent) (used [4]float64, err error) {
	page, err := f.ask(a, "/metrics")
	if err != nil {
		return used, err
	}
	for line := range bytes.Lines(page) {
		name, value, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case !ok || err != nil:
		case name == "process_resident_memory_bytes":
			used[0] = v / (1 << 20)
		case name == "go_goroutines":
			used[2] = v
		case name == "process_open_fds":
			used[3] = v
		}
	}
	if used[0] == 0 || used[2] == 0 || used[3] == 0 {
		return used, fmt.Errorf("%s: the metrics lack memory, goroutines or descriptors", a.id)
	}
	err = filepath.WalkDir(a.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "reserve" {
			return nil //nolint:nilerr // files come and go
		}
		if info, err := d.Info(); err == nil {
			used[1] += float64(info.Size()) / (1 << 20)
		}
		return nil
	})
	return used, err
}
