package replication

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// fatalGrace is how long Run waits for the library when it stops because of a fault: a hung write may never return.
const fatalGrace = time.Second

// stopGrace is how long Run waits for its goroutines in an orderly stop.
const stopGrace = 10 * time.Second

// stopRaft ends the library's goroutines. With a fault it does not insist.
func (g *Group) stopRaft(r *raft.Raft, fault error) error {
	stopped := r.Shutdown()
	g.transport.shut()
	if fault == nil {
		select {
		case <-g.failed: // the last writes failed
			fault = g.failure
		default:
		}
	}
	if fault != nil {
		waitFor(fatalGrace, func() { stopped.Error() })
		return fault
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		stopped.Error()
		g.transport.wait()
	}()
	return g.unlessFailed(done, func() error { return nil })
}

// unlessFailed waits for done and gives result's error, or, when a write hangs or fails meanwhile, that one's.
func (g *Group) unlessFailed(done <-chan struct{}, result func() error) error {
	select {
	case <-done:
		return result()
	case <-g.failed:
	}
	if waitFor(fatalGrace, func() { <-done }) {
		return errors.Join(g.failure, result())
	}
	return g.failure
}

func (g *Group) closeDisk() error {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-g.failed:
		default:
			err = g.disk.store.flush()
		}
		err = errors.Join(err, g.disk.close())
	}()
	return g.unlessFailed(done, func() error { return err })
}

// waitFor runs functions that may never return, and reports whether they did within d.
func waitFor(d time.Duration, fs ...func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, f := range fs {
			f()
		}
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}
