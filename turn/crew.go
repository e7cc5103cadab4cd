package turn

import "sync"

// maxIdle is how many goroutines wait for the next run; their stacks have grown already.
const maxIdle = 128

// crew runs functions in goroutines that are used again: a new one would grow its stack at every turn, which costs
// more than many a turn's own work.
type crew struct {
	wg sync.WaitGroup

	mu     sync.Mutex      // guards the fields below
	idle   []chan<- func() // those that wait, the last one to have run at the end; each has room for one
	closed bool
}

// do runs f in a goroutine, and does not wait for it.
func (c *crew) do(f func()) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		next := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		next <- f
		return
	}
	c.mu.Unlock()
	c.wg.Go(func() { c.work(f) })
}

func (c *crew) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		f()
		if !c.rest(next) {
			return
		}
		f = <-next
	}
}

// rest offers a goroutine for the next run; false when there are enough.
func (c *crew) rest(next chan<- func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= maxIdle {
		return false
	}
	c.idle = append(c.idle, next)
	return true
}

// close ends those that wait, and waits for those that run. do is not called any more.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	for _, next := range c.idle {
		next <- nil
	}
	c.idle = nil
	c.mu.Unlock()
	c.wg.Wait()
}
