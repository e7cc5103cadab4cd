package dev

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/skein-mesh/skein"
)

// maxLog is how large a node's log may be, in bytes, before a start of the node moves it aside.
const maxLog = 8 << 20

// starter starts processes on one OS thread that lives as long as they do: the kernel's death signal is tied
// to the thread that forked, not to the process.
type starter struct {
	jobs chan func()
	done chan struct{}
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *starter) start(cmd *exec.Cmd) error {
	result := make(chan error, 1) // one send
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread, and with it what it has started and still runs.
func (s *starter) close() {
	close(s.jobs)
	<-s.done
}

// ended says that a child is gone.
type ended struct {
	node skein.NodeID
	pid  int
	how  string // "exit status 1", "signal: killed"
}

// launch starts the agent of a node. exits gets one message when it has ended.
func (s *supervisor) launch(id skein.NodeID) (*os.Process, error) {
	log, err := openLog(s.home.nodePath(id, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.opts.Executable, "agent", "--config", s.home.nodePath(id, "skein.yaml"))
	cmd.Dir = s.work
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{s.lifeline} // becomes descriptor 3
	cmd.Env = append(s.environment(), lifelineEnv+"=3")
	cmd.SysProcAttr = childAttributes()
	if err := s.starter.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", id, err)
	}
	s.waiting.Go(func() {
		how := "exit status 0"
		if err := cmd.Wait(); err != nil {
			how = err.Error()
		}
		s.exits <- ended{id, cmd.Process.Pid, how}
	})
	return cmd.Process, nil
}

// environment is the supervisor's, without what would override the nodes' configuration.
func (s *supervisor) environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "SKEIN_") })
}

// openLog appends to a node's log; a large one is moved aside, to path.1.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", filepath.Base(filepath.Dir(path)), err)
	}
	return f, nil
}

// lastLine gives the end of a node's log, for a message; whole says that there is nothing else in the log.
func lastLine(path string) (line string, whole bool) {
	const tail = 2048
	f, err := os.Open(path)
	if err != nil {
		return "", true
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", true
	}
	buf := make([]byte, min(info.Size(), tail))
	n, _ := f.ReadAt(buf, info.Size()-int64(len(buf)))
	text := strings.TrimSpace(string(buf[:n]))
	return lastOf(text), info.Size() <= tail && !strings.Contains(text, "\n")
}
