package replication

import (
	"errors"
	"io"
	"time"
)

// Rates, in bytes per second. A snapshot that travels as fast as it can takes the processors and the disk from the turns
// beside it; the copy it travels from is made faster, since a transaction is open meanwhile.
const (
	defaultSnapshotRate = 48 << 20
	copyRate            = 256 << 20
)

var errStopping = errors.New("the group stops")

// throttle lets bytes pass at a rate, counted from its start.
type throttle struct {
	rate  int64
	begun time.Time
	gone  int64
	stop  <-chan struct{}
}

func newThrottle(rate int64, stop <-chan struct{}) *throttle {
	return &throttle{rate: rate, begun: time.Now(), stop: stop}
}

// pass waits until n more bytes may have passed. Time that was not used is not made up for beyond a tenth of a second.
func (p *throttle) pass(n int) error {
	p.gone += int64(n)
	due := time.Duration(float64(p.gone) / float64(p.rate) * float64(time.Second))
	ahead := due - time.Since(p.begun)
	if slack := -100 * time.Millisecond; ahead < slack {
		p.begun = p.begun.Add(slack - ahead)
	}
	if ahead < 5*time.Millisecond { // timers are not worth less
		return p.stopped()
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.stop:
		return errStopping
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
