package histories

import (
	"syscall"
	"testing"
	"time"
)

func need(t *testing.T) {
	t.Helper()
	if !*enabled {
		t.Skip("real processes: run with -args -e2e")
	}
}

// TestKill: kill -9 of one node and of all three at once.
func TestKill(t *testing.T) {
	if !apart(t) {
		return
	}
	f := newFleet(t)
	f.start(f.agents...)
	f.leader()
	c := f.crowd(1)
	for _, who := range []string{"leader", "follower", "all"} {
		hit := f.target(who)
		pause(1500 * time.Millisecond)
		f.kill(hit...)
		pause(time.Second)
		f.start(hit...)
		f.leader()
		pause(2 * time.Second)
	}
	f.judge(c)
}

// TestStop: SIGSTOP, after which a process goes on as if no time had passed.
func TestStop(t *testing.T) {
	if !apart(t) {
		return
	}
	f := newFleet(t)
	f.start(f.agents...)
	f.leader()
	c := f.crowd(2)
	for _, x := range []struct {
		who   string
		lasts time.Duration
	}{{"leader", time.Second}, {"follower", time.Second}, {"all", time.Second}, {"leader", 5 * time.Second}, {"follower", 5 * time.Second}, {"leader", 30 * time.Second}} {
		hit := f.target(x.who)
		pause(500 * time.Millisecond)
		for _, a := range hit {
			a.cmd.Process.Signal(syscall.SIGSTOP)
		}
		pause(x.lasts)
		for _, a := range hit {
			a.cmd.Process.Signal(syscall.SIGCONT)
		}
		pause(2 * time.Second)
		for _, a := range hit { // one that was away for long may have been replaced and ended
			if gone, err := a.ended(); gone {
				t.Logf("%s ended: %v", a.id, err)
				f.start(a)
			}
		}
	}
	f.judge(c)
}
