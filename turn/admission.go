package turn

import (
	"sync"
	"time"
)

// A new turn is taken in while those before it can be expected to be in the log within maxWait; others are told when
// to come back. How fast that goes is measured while turns queue up, so it follows the machine, its disks and what else
// runs there.
const (
	maxWait    = 200 * time.Millisecond
	firstRate  = 1280.0 // turns a second, until turns have queued up once
	leastRoom  = 16     // turns that are taken in whatever was measured
	window     = 50 * time.Millisecond
	windows    = 5                // an answer that takes longer waits for a model, not for this machine
	measured   = 4                // windows over which a rate is measured, at least
	patience   = 40               // windows at most
	smoothing  = 0.3              // of a measured rate, against what it was
	returnRate = 0.8              // of the rate is left to turns that were sent away
	maxReturn  = 30 * time.Second // they are told at most
)

// admission decides whether a turn may begin.
type admission struct {
	mu        sync.Mutex // guards the fields below
	rate      float64    // turns a second that reach the log while turns queue up
	epoch     time.Time
	at        int64        // number of the present window since epoch
	answering [windows]int // turns that wait for their answer, by the window in which they began
	queued    int          // all of these, and those that wait for the log
	since     int64        // window from which on low and done count
	low       int          // least value of queued
	done      int          // turns that reached the log
	due       time.Time    // when the next turn that is sent away may come back
}

// ticket is one turn that was taken in. Its owner calls commit when it has its answer, and leave once.
type ticket struct {
	at         int64 // window in which it began
	committing bool
}

func newAdmission() *admission {
	now := time.Now()
	return &admission{rate: firstRate, epoch: now, due: now}
}

// enter takes a turn in, or says after how long it should come back.
func (a *admission) enter(now time.Time) (*ticket, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	if a.queued < a.room() {
		a.queued++
		a.answering[a.at%windows]++
		return &ticket{at: a.at}, 0
	}
	return nil, a.later(now)
}

// full says after how long to come back while no turn would be taken in; 0: one would.
func (a *admission) full(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.roll(now); a.queued < a.room() {
		return 0
	}
	return a.later(now)
}

// later gives one of those that are sent away its time.
func (a *admission) later(now time.Time) time.Duration {
	if soon := now.Add(maxWait); a.due.Before(soon) {
		a.due = soon
	}
	after := min(a.due.Sub(now), maxReturn)
	if after < maxReturn {
		a.due = a.due.Add(time.Duration(float64(time.Second) / (a.rate * returnRate)))
	}
	return after
}

func (a *admission) room() int { return max(leastRoom, int(a.rate*maxWait.Seconds())) }

// commit notes that a turn goes to the log.
func (a *admission) commit(t *ticket, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	if t.committing {
		return
	}
	a.forget(t)
	t.committing = true
	a.queued++
}

// forget takes a turn off those that wait for their answer.
func (a *admission) forget(t *ticket) {
	if t.at > a.at-windows {
		a.answering[t.at%windows]--
		a.queued--
	}
}

// leave notes that a turn is in the log, or will not get there from here.
func (a *admission) leave(t *ticket, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	if t.committing {
		a.queued--
		a.done++
	} else {
		a.forget(t)
	}
	a.low = min(a.low, a.queued)
}

// roll ends the windows that are over.
func (a *admission) roll(now time.Time) {
	at := int64(now.Sub(a.epoch) / window)
	if at <= a.at {
		return
	}
	for i := a.at + 1; i <= min(at, a.at+windows); i++ {
		a.queued -= a.answering[i%windows]
		a.answering[i%windows] = 0
	}
	a.at = at
	if at-a.since >= measured {
		a.learn()
	}
	a.low = min(a.low, a.queued)
}

// learn takes in what reached the log since the last time. While turns queued up all along that is what the machine can do;
// otherwise it can do at least that. Where nothing did, it may have had no turn at the processor, which the next time
// shows; for longer it is a leader that is missing, and says nothing.
func (a *admission) learn() {
	full := a.low >= a.room()/2
	if full && a.done == 0 && a.at-a.since < patience {
		return
	}
	rate := float64(a.done) / (time.Duration(a.at-a.since) * window).Seconds()
	if full && a.done > 0 || rate > a.rate {
		a.rate += smoothing * (rate - a.rate)
	}
	a.since, a.done, a.low = a.at, 0, a.queued
}
