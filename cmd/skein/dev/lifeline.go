package dev

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lifelineEnv names the descriptor of the pipe whose other end only the supervisor holds.
const lifelineEnv = "SKEIN_LIFELINE_FD"

// Lifeline gives the inherited end of the supervisor's pipe, nil for a process that no supervisor started.
// The variable is removed, so that it reaches no further process.
func Lifeline() (*os.File, error) {
	value := os.Getenv(lifelineEnv)
	if value == "" {
		return nil, nil
	}
	os.Unsetenv(lifelineEnv)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 || fd > 1024 {
		return nil, fmt.Errorf("%s=%.20q: want a descriptor", lifelineEnv, value)
	}
	syscall.CloseOnExec(fd)
	// Non-blocking, so that the runtime polls it and Close ends a Read.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("%s=%d: %w", lifelineEnv, fd, err)
	}
	return os.NewFile(uintptr(fd), "lifeline"), nil
}

// WatchLifeline calls gone when the other end of f is closed, which happens however the supervisor ends. It
// returns then, or when ctx has ended.
func WatchLifeline(ctx context.Context, f *os.File, gone func()) {
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	var b [1]byte
	for {
		if _, err := f.Read(b[:]); err != nil {
			break
		}
	}
	if ctx.Err() == nil {
		gone()
	}
}

// cachedRun is the directory in which cmd/go keeps an executable of `go run` for the next time, below $GOCACHE.
var cachedRun = regexp.MustCompile(`[/\\][0-9a-f]{2}[/\\][0-9a-f]{64}-d$`)

// UnderGoRun reports whether exe was built by `go run`: cmd/go puts it into $GOTMPDIR/go-buildN/bNNN/exe and, since
// Go 1.24, runs it from its cache when nothing has changed.
func UnderGoRun(exe string) bool {
	dir := filepath.Dir(exe)
	return filepath.Base(dir) == "exe" && strings.Contains(dir, string(filepath.Separator)+"go-build") || cachedRun.MatchString(dir)
}

// watchParent ends ctx's work by stop when the process's parent has changed, which means that `go run` was
// killed: it forwards no signal. It returns when ctx has ended. The kernel's signal at a parent's death would not do: it
// comes once for each thread of the parent, and a second one ends this process before its nodes have stopped.
func watchParent(ctx context.Context, parent int, stop context.CancelCauseFunc) {
	const interval = 100 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if os.Getppid() != parent {
			stop(fmt.Errorf("the process %d that started this one has ended", parent))
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
