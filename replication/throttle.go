package replication

import (
	"bufio"
	"errors"
	"io"
	"os"
	"time"
)

// Rates, in bytes per second. A snapshot that travels as fast as it can takes the processors and the disk from the turns
// beside it; so does the copy it travels from.
const (
	defaultSnapshotRate = 48 << 20
	copyRate            = 64 << 20
)

// syncedPiece is how much of a large file waits for the disk at most. Left to the system it would be all of it, and
// then the log's syncs would stand behind it.
const syncedPiece = 4 << 20

const (
	slowest  = 8                      // a throttle slows down to an eighth of its rate
	lateness = 4 * time.Millisecond   // of a timer, from which the processors count as busy
	credit   = 100 * time.Millisecond // of time that was not used and may be made up for
)

var errStopping = errors.New("the group stops")

// throttle lets bytes pass at a rate, and slower while the machine is busy, which its own timers tell by coming late.
type throttle struct {
	most, rate float64   // bytes per second: at most, and now
	due        time.Time // when the bytes so far have passed
	stop       <-chan struct{}
}

func newThrottle(rate int64, stop <-chan struct{}) *throttle {
	return &throttle{most: float64(rate), rate: float64(rate), due: time.Now(), stop: stop}
}

// pass waits until n more bytes may have passed.
func (p *throttle) pass(n int) error {
	now := time.Now()
	if earliest := now.Add(-credit); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	wait := p.due.Sub(now)
	if wait < time.Millisecond { // timers are not worth less
		return p.stopped()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		p.adapt(time.Since(p.due))
		return nil
	case <-p.stop:
		return errStopping
	}
}

// adapt takes in by how much a timer came late.
func (p *throttle) adapt(late time.Duration) {
	if late > lateness {
		p.rate = max(p.rate*3/4, p.most/slowest)
	} else {
		p.rate = min(p.rate+p.most/64, p.most)
	}
}

func (p *throttle) stopped() error {
	select {
	case <-p.stop:
		return errStopping
	default:
		return nil
	}
}

// syncedWriter writes a large file that reaches the disk as it grows.
type syncedWriter struct {
	file    *os.File
	waiting int
}

func (w *syncedWriter) Write(buf []byte) (n int, err error) {
	n, err = w.file.Write(buf)
	if w.waiting += n; err == nil && w.waiting >= syncedPiece {
		w.waiting = 0
		err = w.file.Sync()
	}
	return n, err
}

type pacedWriter struct {
	w io.Writer
	p *throttle
}

func (w *pacedWriter) Write(buf []byte) (int, error) {
	if err := w.p.pass(len(buf)); err != nil {
		return 0, err
	}
	return w.w.Write(buf)
}

// newCopyWriter is for a copy of the state that is made beside the turns; it gives up when stop is closed.
func newCopyWriter(f *os.File, stop <-chan struct{}) *bufio.Writer {
	return bufio.NewWriterSize(&pacedWriter{w: &syncedWriter{file: f}, p: newThrottle(copyRate, stop)}, 1<<20)
}

// pacedReader reads in pieces of a size that do not hold up what shares the connection.
type pacedReader struct {
	r io.Reader
	p *throttle
}

const pacedPiece = 64 << 10

func (r *pacedReader) Read(buf []byte) (int, error) {
	n, err := r.r.Read(buf[:min(len(buf), pacedPiece)])
	if n > 0 {
		if stop := r.p.pass(n); stop != nil {
			return 0, stop
		}
	}
	return n, err
}
