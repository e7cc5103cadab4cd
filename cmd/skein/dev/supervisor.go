package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Times of the supervisor.
const (
	readyTime = 90 * time.Second // for all nodes to be ready, on a slow machine
	stopTime  = 15 * time.Second // for a node to end in order, before it is killed
	// orphanTime is stopTime when the `go run` around this process was killed: whoever did that wants it all to end.
	orphanTime = time.Second
)

// Options are the flags of `skein dev`.
type Options struct {
	Regions    string // as in DefaultRegions; empty: what the directory holds, else the default
	Groups     int    // into which each region is divided; 0: what the directory holds, else 1
	Dir        string // empty: a temporary one
	Assistant  string // YAML file; empty: the embedded shop
	Watch      bool   // reload Assistant when it changes
	Model      string // base URL of an OpenAI-compatible server; empty: none
	GeoFile    string // lines of PREFIX REGION
	JSON       bool   // one line on Stdout when ready, instead of the table
	Ports      Ports  // 0: what the directory holds, else DefaultPorts
	OneAddress bool   // 127.0.0.1 only, with ports apart
	NoTakeover bool   // see node.Config

	// CheckAssistant reads Assistant anew and says what is wrong with it, a line for each fault. nil: not checked.
	CheckAssistant func() error

	Executable string // the binary that runs `agent`
	Command    string // how the user calls it, for what is printed
	StateDir   string // where the mesh is recorded
	Stdout     io.Writer
	Stderr     io.Writer
	Getenv     func(string) string // for the locale
}

// supervisor owns the children. Its fields are set up before the loop; nodes belongs to the loop alone.
type supervisor struct {
	opts     Options
	home     *home
	plan     topology
	at       map[skein.NodeID]endpoints
	groups   int
	work     string   // directory in which the nodes run
	lifeline *os.File // the end of the pipe that children inherit
	held     *os.File // the other end; nobody else has it
	starter  *starter
	control  net.Listener
	waiting  sync.WaitGroup // goroutines that wait for a child
	exits    chan ended
	requests chan request
	ready    chan skein.NodeID
	edition  string      // stamp of the assistant at the start
	edits    chan string // what became of an edit of the assistant
	nodes    map[skein.NodeID]*child
	first    []meshfile.Node // as they were started first
	started  time.Time
	resumed  bool // the directory held the mesh already
	told     bool // the error that ends the mesh says all that the logs do
}

// child is one node as the loop sees it.
type child struct {
	process *os.Process // nil: dead
	ready   bool        // has been so once
	dying   bool        // its end is wanted
	again   bool        // start it when it has ended
	force   *time.Timer // kills it when it does not end in order
	asked   []asked     // who waits for its end
}

type asked struct {
	req request
	pid int
}

// Run starts a mesh, prints what to do with it, and keeps it until ctx ends; then it ends all nodes. A nil
// error says that the mesh was ready and has been stopped.
func Run(ctx context.Context, opts Options) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var background sync.WaitGroup
	defer background.Wait()
	goRun, parent := UnderGoRun(opts.Executable), os.Getppid()
	if goRun {
		background.Go(func() { watchParent(ctx, parent, cancel) })
		defer cancel(nil) // before the wait
	}
	s, err := prepare(opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.leave(err != nil)) }()
	if err := s.open(); err != nil {
		return err
	}
	background.Go(func() { serveControl(ctx, s.control, s.requests) })
	defer cancel(nil)
	err = s.startAll()
	if err == nil {
		background.Go(func() { s.watchReady(ctx) })
		background.Go(func() { s.watchAssistant(ctx, s.edition) })
		err = s.loop(ctx)
	}
	cancel(nil)
	patience := stopTime
	if goRun && os.Getppid() != parent {
		patience = orphanTime
	}
	s.stopAll(patience)
	return err
}

// prepare does all that can be refused before anything runs; what can be refused without a directory comes first.
func prepare(opts Options) (*supervisor, error) {
	set, err := settle(opts)
	if err != nil {
		return nil, err
	}
	h, err := openHome(opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &supervisor{opts: opts, home: h, started: time.Now(), nodes: map[skein.NodeID]*child{},
		plan: set.topology, at: set.at, groups: set.plan.Groups, resumed: set.resumed, edition: set.edition,
		exits: make(chan ended), requests: make(chan request), ready: make(chan skein.NodeID), edits: make(chan string)}
	if err := s.furnish(set); err != nil {
		_, closeErr := h.close()
		return nil, errors.Join(err, closeErr)
	}
	return s, nil
}

// furnish fills the directory: keys, configurations, the plan.
func (s *supervisor) furnish(set *settled) error {
	for _, r := range s.plan {
		for _, n := range r.nodes {
			if err := probe(n.Node, s.at[n.Node], s.portAdvice); err != nil {
				return s.withNeighbour(err)
			}
		}
	}
	if s.resumed {
		s.say("resuming the mesh in %s", s.home.dir)
	} else {
		s.say("making keys and configurations in %s", s.home.dir)
	}
	if err := s.home.keys(s.plan, s.at); err != nil {
		return err
	}
	if err := s.configure(set.prefixes); err != nil {
		return err
	}
	return set.plan.save(s.home.path(planFile))
}

// portAdvice says how to give a socket another port. A mesh that is resumed keeps its ports, whatever the flags.
func (s *supervisor) portAdvice(k socket) string {
	if s.resumed {
		return fmt.Sprintf("change %q in %s", k.key, s.home.path(planFile))
	}
	return "choose another port with " + k.flag
}

// withNeighbour names the dev mesh that probably holds the port.
func (s *supervisor) withNeighbour(err error) error {
	living, _ := meshfile.Living(s.opts.StateDir)
	for _, r := range living {
		if pid, held := meshfile.Held(r.Lock); held {
			other := fmt.Errorf("%w; a dev mesh runs in %s with pid %d: end it", err, filepath.Dir(r.Mesh), pid)
			if s.resumed {
				return other
			}
			return fmt.Errorf("%w, or start this one with --port-offset 1000", other)
		}
	}
	return err
}

// open makes what the children need: the pipe, the thread, the control socket.
func (s *supervisor) open() error {
	var err error
	if s.work, err = os.Getwd(); err != nil {
		s.work = s.home.dir
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	s.lifeline, s.held = reader, writer
	s.starter = newStarter()
	s.control, err = listenControl(s.home.dir)
	return err
}

// leave undoes open and prepare, when all children have ended. After a failure a temporary directory is kept where
// its logs say more than the error does.
func (s *supervisor) leave(failed bool) error {
	var errs []error
	if s.control != nil {
		s.control.Close()
	}
	if s.starter != nil {
		s.starter.close()
	}
	if s.lifeline != nil {
		s.lifeline.Close()
		s.held.Close()
	}
	errs = append(errs, s.record().Remove(s.opts.StateDir))
	temp := s.home.temp
	if failed && !s.told && s.hasLogs() {
		s.home.temp = false
	}
	kept, err := s.home.close()
	errs = append(errs, err)
	switch {
	case kept && temp:
		s.say("stopped; the logs are kept: %s", s.home.nodePath("*", "log"))
	case kept:
		s.say("stopped; keys, data and logs are kept in %s; this resumes it:\n  %s", s.home.dir, s.again())
	case err == nil && failed:
		s.say("stopped; nothing was kept")
	case err == nil:
		s.say("stopped; nothing was kept (`--dir DIR` keeps keys, data and logs)")
	}
	return errors.Join(errs...)
}

// hasLogs reports whether any node has written something.
func (s *supervisor) hasLogs() bool {
	for id := range s.nodes {
		if info, err := os.Stat(s.home.nodePath(id, "log")); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// again gives the command that resumes the mesh; regions and ports are in the directory.
func (s *supervisor) again() string {
	cmd := s.opts.Command + " dev --dir " + quote(s.home.dir)
	for _, f := range []struct{ flag, value string }{{"--assistant", s.opts.Assistant}, {"--model", s.opts.Model}, {"--geo", s.opts.GeoFile}} {
		if f.value != "" {
			cmd += " " + f.flag + " " + quote(f.value)
		}
	}
	if s.opts.Watch {
		cmd += " --watch"
	}
	return cmd
}

func (s *supervisor) record() meshfile.Record {
	return meshfile.Record{Mesh: s.home.path("mesh.json"), Lock: s.home.path("lock"), Started: s.started}
}

func (s *supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.opts.Stderr, "skein dev: "+format+"\n", args...)
}
