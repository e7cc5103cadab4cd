package turn

import (
	"sync"
	"testing"
	"testing/synctest"
)

func TestCrewUsesItsGoroutinesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crew{}
		var all sync.WaitGroup
		ran := 0
		for range 3 {
			all.Add(1)
			c.do(func() { ran++; all.Done() })
			all.Wait()
			synctest.Wait()
			if n := len(c.idle); n != 1 {
				t.Fatalf("goroutines that wait: got %d, want 1", n)
			}
		}
		hold := make(chan struct{})
		for range maxIdle + 10 {
			all.Add(1)
			c.do(func() { <-hold; all.Done() })
		}
		close(hold)
		all.Wait()
		synctest.Wait()
		if n := len(c.idle); n > maxIdle {
			t.Errorf("goroutines that wait: got %d, want at most %d", n, maxIdle)
		}
		c.close()
		if ran != 3 {
			t.Errorf("runs: got %d, want 3", ran)
		}
	})
}
