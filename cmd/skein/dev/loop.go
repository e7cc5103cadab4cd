package dev

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// startAll starts every node and writes the first mesh.json.
func (s *supervisor) startAll() error {
	for _, r := range s.plan {
		for _, n := range r.nodes {
			p, err := s.launch(n.Node)
			if err != nil {
				return err
			}
			s.nodes[n.Node] = &child{process: p}
		}
	}
	if err := s.writeMesh(); err != nil {
		return err
	}
	s.first = s.meshFile().Nodes
	s.say("%d nodes started; waiting until they are ready", len(s.nodes))
	return s.record().Save(s.opts.StateDir)
}

// loop owns the nodes until ctx ends. It fails when the mesh does not become ready.
func (s *supervisor) loop(ctx context.Context) error {
	deadline := time.NewTimer(readyTime)
	defer deadline.Stop()
	complete := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.exits:
			// A node that the user has ended may be missing; one that ends by itself at start shows a fault.
			if c := s.nodes[e.node]; !complete && !c.dying {
				s.gone(e)
				return s.startFault(e)
			}
			s.gone(e)
		case req := <-s.requests:
			s.handle(req)
		case text := <-s.edits:
			s.say("%s", text)
		case r := <-s.ready:
			s.nodes[r].ready = true
			if !complete {
				s.say("%s", s.progress())
			}
		case <-deadline.C:
			return fmt.Errorf("not ready after %s: %s; the logs are in %s", readyTime, s.progress(), s.home.path("nodes"))
		}
		if !complete && s.complete() {
			complete = true
			deadline.Stop()
			if err := s.announce(); err != nil {
				return err
			}
		}
	}
}

// complete reports whether every node that should live is ready.
func (s *supervisor) complete() bool {
	for _, c := range s.nodes {
		if c.process != nil && !c.ready {
			return false
		}
	}
	return true
}

// progress says how many nodes of each region are ready.
func (s *supervisor) progress() string {
	text := ""
	total := 0
	for _, r := range s.plan {
		n := 0
		for _, p := range r.nodes {
			if s.nodes[p.Node].ready {
				n++
			}
		}
		total += n
		text += fmt.Sprintf(" %s %d/%d", r.name, n, len(r.nodes))
	}
	return fmt.Sprintf("%d of %d nodes ready:%s", total, len(s.nodes), text)
}

// startFault tells why a node ended while the mesh was starting.
func (s *supervisor) startFault(e ended) error {
	log := s.home.nodePath(e.node, "log")
	last, whole := lastLine(log)
	s.told = whole // the logs of the others, who waited for this one, explain nothing
	switch {
	case last == "":
		return fmt.Errorf("%s ended at start (%s) and wrote no log", e.node, e.how)
	case whole:
		return fmt.Errorf("%s ended at start (%s): %s", e.node, e.how, last)
	}
	return fmt.Errorf("%s ended at start (%s): %s; its log is %s", e.node, e.how, last, log)
}

// gone takes the end of a child in: mesh.json, who waits for it, the next start.
func (s *supervisor) gone(e ended) {
	c := s.nodes[e.node]
	if c.process == nil || c.process.Pid != e.pid {
		return
	}
	wanted := c.dying
	c.process, c.dying = nil, false
	if c.force != nil {
		c.force.Stop()
		c.force = nil
	}
	var err error
	if c.again {
		c.again = false
		err = s.relaunch(e.node)
	} else {
		err = s.writeMesh()
		if !wanted {
			s.say("%s (pid %d) ended: %s; it stays dead until `%s dev restart %s`", e.node, e.pid, e.how, s.opts.Command, e.node)
		}
	}
	for _, a := range c.asked {
		a.req.answer <- s.answer(c, a, err)
	}
	c.asked = nil
}

func (s *supervisor) answer(c *child, a asked, err error) response {
	r := response{PID: a.pid}
	if a.req.Op == "restart" && c.process != nil {
		r.PID = c.process.Pid
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// handle carries a request out; the answer may come later, when the node has ended.
func (s *supervisor) handle(req request) {
	c := s.nodes[req.Node]
	switch {
	case c == nil:
		req.answer <- response{Error: fmt.Sprintf("there is no node of that name; `%s members` lists them", s.opts.Command)}
	case req.Op == "kill" && c.process == nil:
		req.answer <- response{Error: "it is dead already"}
	case req.Op == "kill":
		c.end(req, os.Kill)
	case c.process == nil:
		a := asked{req: req}
		req.answer <- s.answer(c, a, s.relaunch(req.Node))
	default:
		c.again = true
		c.end(req, syscall.SIGTERM)
	}
}

// end signals the child and remembers who asked.
func (c *child) end(req request, sig os.Signal) {
	p := c.process
	c.dying = true
	c.asked = append(c.asked, asked{req: req, pid: p.Pid})
	if sig == os.Kill {
		c.again = false // the last order holds
	} else if c.force == nil {
		c.force = time.AfterFunc(stopTime, func() { p.Kill() })
	}
	p.Signal(sig) // an error says that it has ended: its exit is on the way
}

func (s *supervisor) relaunch(id skein.NodeID) error {
	p, err := s.launch(id)
	if err != nil {
		return err
	}
	s.nodes[id].process = p
	return s.writeMesh()
}

// writeMesh writes mesh.json as things stand.
func (s *supervisor) writeMesh() error { return s.meshFile().Write(s.home.path("mesh.json")) }

func (s *supervisor) meshFile() *meshfile.File {
	f := &meshfile.File{Service: Service, CAFile: s.home.path("ca.pem"), TokenFile: s.home.path("token"), AdminTokenFile: s.home.path("admin.token")}
	for _, r := range s.plan {
		for _, n := range r.nodes {
			at := s.at[n.Node]
			entry := meshfile.Node{ID: n.Node, Region: n.Region, Zone: n.Zone, QUIC: at.client.String(), HTTPS: at.client.String(),
				DNS: at.dns.String(), Admin: at.admin.String()}
			if c := s.nodes[n.Node]; c != nil && c.process != nil {
				entry.PID = c.process.Pid
			}
			f.Nodes = append(f.Nodes, entry)
		}
	}
	return f
}

// stopAll ends every child: in order, and by force when that takes longer than patience.
func (s *supervisor) stopAll(patience time.Duration) {
	for _, c := range s.nodes {
		if c.process == nil {
			continue
		}
		c.again = false
		p := c.process
		if c.force != nil {
			c.force.Stop()
		}
		c.force = time.AfterFunc(patience, func() { p.Kill() })
		p.Signal(syscall.SIGTERM)
	}
	all := make(chan struct{})
	go func() { s.waiting.Wait(); close(all) }()
	for {
		select {
		case e := <-s.exits:
			c := s.nodes[e.node]
			if c == nil || c.process == nil || c.process.Pid != e.pid {
				continue
			}
			c.process = nil
			if c.force != nil {
				c.force.Stop()
			}
			if err := s.writeMesh(); err != nil {
				s.say("%v", err)
			}
			for _, a := range c.asked {
				a.req.answer <- response{Error: "the mesh is being stopped"}
			}
			c.asked = nil
		case <-all:
			return
		}
	}
}
