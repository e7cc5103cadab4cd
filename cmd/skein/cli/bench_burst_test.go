package cli

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestBurstResult(t *testing.T) {
	const ms = time.Millisecond
	at := func(due, end time.Duration) sent { return sent{due: due1(due, false), end: end} }
	b := &burst{from: time.Second, until: 2 * time.Second, length: 4 * time.Second, log: []sent{
		at(10*ms, 15*ms), at(20*ms, 22*ms), // before
		at(1000*ms, 1100*ms), // in the first quarter of a second of the burst
		at(1050*ms, 1600*ms), // in the third, too late
		{due: due1(1050*ms, false), end: 1060 * ms, after: 300 * ms}, // comes back
		{due: due1(1360*ms, true), end: 1370 * ms, after: 900 * ms},  // not right
		{due: due1(2270*ms, true), end: 2300 * ms},                   // right
		{due: due1(3*time.Second, false), end: 3 * time.Second, err: errors.New("gone")},
	}}
	want := &burstResult{Answered: 5, Shed: 2, Returned: 2, ShedAgain: 1, Errors: 1, Before: 5, Worst: 550, BackMS: 750, TargetMS: 380, RetryFirst: 300, RetryLast: 900}
	if got := b.result(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func due1(at time.Duration, back bool) due { return due{at: at, back: back} }

func TestBurstRate(t *testing.T) {
	b := &burst{rate: 200, peak: 8000, from: 3 * time.Second, until: 5 * time.Second, length: 9 * time.Second}
	for at, want := range map[time.Duration]float64{0: 200, 3 * time.Second: 8000, 5*time.Second - 1: 8000, 5 * time.Second: 200, 9 * time.Second: 0} {
		if got := b.rateAt(at); got != want {
			t.Errorf("at %v: got %g a second, want %g", at, got, want)
		}
	}
}

// TestTurnsThatFindNoSession wait in the order in which they were due.
func TestTurnsThatFindNoSession(t *testing.T) {
	free := make(chan int, 2)
	work := []chan due{make(chan due, 1), make(chan due, 1)}
	free <- 1
	queue := assign([]due{due1(1, false), due1(2, true), due1(3, false)}, free, work)
	if want := []due{due1(2, true), due1(3, false)}; !reflect.DeepEqual(queue, want) {
		t.Errorf("left: got %v, want %v", queue, want)
	}
	if got := <-work[1]; got != due1(1, false) {
		t.Errorf("session 1 got %v, want the first", got)
	}
	free <- 0
	free <- 1
	if queue = assign(queue, free, work); len(queue) != 0 {
		t.Errorf("left: got %v, want none", queue)
	}
}

func TestReturnsComeInTime(t *testing.T) {
	b := &burst{returns: []due{due1(1, true), due1(5, true), due1(9, true)}}
	if got := b.returning(5); len(got) != 1 || got[0].at != 1 {
		t.Errorf("before 5: got %v, want the first", got)
	}
	if got := b.returning(100); len(got) != 2 || b.waiting() != 0 {
		t.Errorf("before 100: got %v, %d left, want two and none", got, b.waiting())
	}
}
