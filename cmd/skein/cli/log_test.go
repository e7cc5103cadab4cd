package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuckPipe is a pipe that nobody reads until it is opened.
type stuckPipe struct {
	opened chan struct{}
	got    bytes.Buffer
}

func (p *stuckPipe) Write(b []byte) (int, error) {
	<-p.opened
	return p.got.Write(b)
}

func TestLogDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuckPipe{opened: make(chan struct{})}
		q := newLogQueue(out)
		log := q.logger(slog.LevelInfo).With("node", "a")
		log.Debug("not wanted")
		log.Info("first")
		synctest.Wait() // the writer hangs
		const many = 20_000
		for i := range many {
			log.Info("filling", "i", i)
		}
		log.Error("the last word")
		close(out.opened)
		q.close()
		log.Error("too late")

		lines := strings.Split(strings.TrimSuffix(out.got.String(), "\n"), "\n")
		if len(lines) < 1000 || !strings.Contains(lines[0], "msg=first node=a") || !strings.Contains(lines[2], "i=0") {
			t.Fatalf("got %d lines, from %.200q", len(lines), lines)
		}
		if last := lines[len(lines)-1]; !strings.Contains(last, "level=ERROR") || !strings.Contains(last, "the last word") {
			t.Errorf("the last line is %q, want the error", last)
		}
		// All but the word about them are the first, the last, and what was not dropped in between.
		dropped := many - (len(lines) - 3)
		if want := fmt.Sprintf("lines=%d", dropped); dropped == 0 || !strings.Contains(lines[1], want) {
			t.Errorf("the second line is %q, want %s", lines[1], want)
		}
	})
}

func TestLogKeepsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuckPipe{opened: make(chan struct{})}
		q := newLogQueue(out)
		log, long := q.logger(slog.LevelInfo), strings.Repeat("x", 1000)
		log.Info("first")
		synctest.Wait()
		const errors = 1000 // more than their own room holds
		for i := range 3000 {
			log.Info("filling", "long", long)
			if i%3 == 0 {
				log.Error("kept", "i", i, "long", long)
			}
		}
		if q.size > maxLogged+maxLoggedErrors {
			t.Errorf("%d bytes wait", q.size)
		}
		close(out.opened)
		q.close()
		if got := strings.Count(out.got.String(), "msg=kept"); got != errors {
			t.Errorf("got %d errors, want %d", got, errors)
		}
	})
}

func TestLogEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuckPipe{opened: make(chan struct{})}
		q := newLogQueue(out)
		q.logger(slog.LevelInfo).Info("unread")
		began := time.Now()
		q.close()
		if took := time.Since(began); took != lastLines {
			t.Errorf("close took %s, want %s", took, lastLines)
		}
		close(out.opened)
		<-q.done
	})
}
