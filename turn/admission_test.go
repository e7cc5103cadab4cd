package turn

import (
	"testing"
	"time"
)

// server is a node that brings rate turns a second into the log, in order.
type server struct {
	a      *admission
	now    time.Time
	rate   float64
	queue  []served
	worst  time.Duration // wait of a turn that was taken in
	spent  float64
	took   int
	away   int
	latest time.Duration
}

type served struct {
	t     *ticket
	since time.Time
}

// run offers load turns a second for d.
func (s *server) run(load float64, d time.Duration) {
	const step = time.Millisecond
	owed := 0.0
	s.worst, s.took, s.away = 0, 0, 0
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(step) {
		for owed += load * step.Seconds(); owed >= 1; owed-- {
			if at, after := s.a.enter(s.now); at != nil {
				s.took++
				s.a.commit(at, s.now)
				s.queue = append(s.queue, served{at, s.now})
			} else {
				s.away++
				s.latest = after
			}
		}
		s.spent = min(s.spent+s.rate*step.Seconds(), 1+s.rate*step.Seconds())
		for ; s.spent >= 1 && len(s.queue) > 0; s.spent-- {
			s.worst = max(s.worst, s.now.Sub(s.queue[0].since))
			s.a.leave(s.queue[0].t, s.now)
			s.queue = s.queue[1:]
		}
	}
}

func newServer(rate float64) *server {
	a := newAdmission()
	return &server{a: a, now: a.epoch, rate: rate}
}

func TestAdmissionBoundsTheWait(t *testing.T) {
	for _, rate := range []float64{100, 1000, 3000, 20000} {
		s := newServer(rate)
		s.run(rate/20, time.Second)
		if s.away > 0 {
			t.Errorf("%g a second, hardly used: %d turns sent away", rate, s.away)
		}
		s.run(3*rate, 4*time.Second) // it learns
		s.run(3*rate, 3*time.Second)
		if s.worst > 3*maxWait/2 {
			t.Errorf("%g a second, three times as many: a turn waited %v, want about %v", rate, s.worst, maxWait)
		}
		if got, want := float64(s.took)/3, rate; got < 0.8*want || got > 1.1*want {
			t.Errorf("%g a second, three times as many: %.0f a second taken in", rate, got)
		}
		s.run(0, time.Second)
		s.run(0.7*rate, 3*time.Second)
		if s.away > 0 {
			t.Errorf("%g a second, no longer too many: %d turns sent away", rate, s.away)
		}
	}
}

func TestAdmissionTakesABurstThatFits(t *testing.T) {
	s := newServer(1000)
	s.run(1000*150, time.Millisecond)
	if s.away > 0 || s.took != 150 {
		t.Errorf("150 turns at once: %d taken in, %d sent away", s.took, s.away)
	}
}

// TestReturnIsRight: who comes back when it was told to is taken in.
func TestReturnIsRight(t *testing.T) {
	s := newServer(1000)
	s.run(3000, 2*time.Second)
	s.run(0, time.Second)
	back := map[time.Duration]int{}
	for range 4000 {
		if at, after := s.a.enter(s.now); at != nil {
			s.a.commit(at, s.now)
			s.queue = append(s.queue, served{at, s.now})
		} else {
			back[after.Truncate(time.Millisecond)]++
		}
	}
	if len(back) < 1000 {
		t.Fatalf("turns are told only %d different times", len(back))
	}
	begin, refused, n := s.now, 0, 0
	for ms := time.Duration(0); ms < 20*time.Second; ms += time.Millisecond {
		for range back[ms] {
			n++
			at, _ := s.a.enter(begin.Add(ms))
			if at == nil {
				refused++
				continue
			}
			s.a.commit(at, s.now)
			s.queue = append(s.queue, served{at, s.now})
		}
		s.now = begin.Add(ms)
		s.run(0, time.Millisecond)
	}
	if refused*100 > n {
		t.Errorf("%d of %d turns were refused when they came back as told", refused, n)
	}
}

// TestAdmissionIsNotMisled: turns that wait for a model or a leader say nothing about how fast the log is.
func TestAdmissionIsNotMisled(t *testing.T) {
	a := newAdmission()
	now := a.epoch
	var slow []*ticket
	for i := range 5000 { // a hundred a second, each two seconds from its first word
		now = now.Add(10 * time.Millisecond)
		at, _ := a.enter(now)
		if at == nil {
			t.Fatal("turns of a slow model are sent away")
		}
		if slow = append(slow, at); i >= 200 {
			a.commit(slow[i-200], now)
			a.leave(slow[i-200], now)
		}
	}
	if a.rate < firstRate {
		t.Errorf("rate: got %g, want %g", a.rate, firstRate)
	}
	now = now.Add(window * windows)
	stuck := slow[:0]
	for at, _ := a.enter(now); at != nil; at, _ = a.enter(now) { // nobody leads for three seconds
		a.commit(at, now)
		stuck = append(stuck, at)
	}
	now = now.Add(3 * time.Second)
	if after := a.full(now); after <= 0 {
		t.Error("a full queue does not say so")
	}
	if at, after := a.enter(now); at != nil || after > time.Second {
		t.Errorf("with a full queue: got %v, told to come back after %v", at, after)
	}
	if a.rate < firstRate {
		t.Errorf("rate without a leader: got %g, want %g", a.rate, firstRate)
	}
	for _, at := range stuck {
		a.leave(at, now)
	}
	if a.queued != 0 {
		t.Errorf("turns that wait: got %d, want 0", a.queued)
	}
}

// TestAdmissionOnABusyMachine: a node that shares its processor works in short spells, each of them fast.
func TestAdmissionOnABusyMachine(t *testing.T) {
	s := newServer(0)
	for i := range 20_000 {
		s.rate = 0
		if i%300 < 10 {
			s.rate = 9000 // 300 a second
		}
		s.run(1500, time.Millisecond)
	}
	if s.a.rate < 150 || s.a.rate > 600 {
		t.Errorf("measured %.0f a second, want about 300", s.a.rate)
	}
}
