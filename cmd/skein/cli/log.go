package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// maxLogged is how many bytes of the log wait while as many may be on their way out, and maxLoggedErrors how
	// many more of errors may.
	maxLogged       = 1 << 20
	maxLoggedErrors = 256 << 10
	// lastLines is how long the end of the process waits for the log to be read.
	lastLines = time.Second
)

// logQueue takes the lines of a log and writes them from a goroutine of its own: a pipe that nobody reads must not
// stop the node, which logs while it holds what others wait for. Lines that find no room are dropped and counted;
// an error pushes older lines out instead. Close it before the process ends.
type logQueue struct {
	out  io.Writer
	more chan struct{} // a line waits, or the queue is closed
	done chan struct{} // closed when all is written

	mu sync.Mutex
	// mu guards the fields below
	lines   []logLine
	size    int // bytes of lines
	dropped int // lines, since the last word about it
	closed  bool
}

type logLine struct {
	text  []byte
	error bool
}

func newLogQueue(out io.Writer) *logQueue {
	q := &logQueue{out: out, more: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// logger gives a logger whose records of at least level least go through q.
func (q *logQueue) logger(least slog.Level) *slog.Logger {
	format := func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, &slog.HandlerOptions{Level: least}) }
	return slog.New(byLevel{others: format(logWriter{q, false}), errors: format(logWriter{q, true})})
}

// close waits until all is written, at most lastLines. What is logged afterwards is lost.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
	late := time.NewTimer(lastLines)
	defer late.Stop()
	select {
	case <-q.done:
	case <-late.C: // the goroutine hangs in a write, and ends with the process
	}
}

func (q *logQueue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *logQueue) add(line logLine) {
	q.mu.Lock()
	defer q.mu.Unlock()
	most := maxLogged
	if line.error {
		most += maxLoggedErrors
	}
	for line.error && q.size+len(line.text) > most && q.pushOutLocked() {
	}
	if q.closed || q.size+len(line.text) > most {
		q.dropped++
		return
	}
	q.lines = append(q.lines, line)
	q.size += len(line.text)
}

// pushOutLocked drops the oldest line that is no error, else the oldest; false when there is none.
func (q *logQueue) pushOutLocked() bool {
	if len(q.lines) == 0 {
		return false
	}
	i := max(0, slices.IndexFunc(q.lines, func(l logLine) bool { return !l.error }))
	q.size -= len(q.lines[i].text)
	q.lines = slices.Delete(q.lines, i, i+1)
	q.dropped++
	return true
}

// take gives all lines, and how many were dropped since the last call; closed says that no more will come.
func (q *logQueue) take() (lines []logLine, dropped int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, dropped = q.lines, q.dropped
	q.lines, q.size, q.dropped = nil, 0, 0
	return lines, dropped, q.closed
}

// run writes until the queue is closed and empty. An error of the writer has nobody to be told to.
func (q *logQueue) run() {
	defer close(q.done)
	own := slog.New(slog.NewTextHandler(q.out, nil))
	for {
		lines, dropped, closed := q.take()
		if dropped > 0 {
			own.Warn("lines of the log were dropped, since it is not read fast enough", "lines", dropped)
		}
		for _, line := range lines {
			q.out.Write(line.text) //nolint:errcheck // see above
		}
		if len(lines) > 0 {
			continue
		}
		if closed {
			return
		}
		<-q.more
	}
}

// logWriter is how a handler's lines come to the queue: one a Write, which is whose to keep only until it returns.
type logWriter struct {
	q     *logQueue
	error bool
}

func (w logWriter) Write(p []byte) (int, error) {
	w.q.add(logLine{bytes.Clone(p), w.error})
	w.q.wake()
	return len(p), nil
}

// byLevel is a slog.Handler that tells errors from the rest.
type byLevel struct{ others, errors slog.Handler }

func (h byLevel) of(level slog.Level) slog.Handler {
	if level >= slog.LevelError {
		return h.errors
	}
	return h.others
}

// Enabled satisfies slog.Handler, as the others do.
func (h byLevel) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(level).Enabled(ctx, level)
}

func (h byLevel) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

func (h byLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return byLevel{h.others.WithAttrs(attrs), h.errors.WithAttrs(attrs)}
}

func (h byLevel) WithGroup(name string) slog.Handler {
	return byLevel{h.others.WithGroup(name), h.errors.WithGroup(name)}
}
