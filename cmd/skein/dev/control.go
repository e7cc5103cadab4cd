package dev

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
)

// The control socket: one JSON object a connection each way, one line each.
const (
	socketName  = "dev.sock"
	maxRequest  = 4 << 10          // bytes
	maxControls = 16               // connections at once
	controlTime = 30 * time.Second // for the whole exchange
)

// request asks the supervisor to do something with a node.
type request struct {
	Op   string       `json:"op"` // kill or restart
	Node skein.NodeID `json:"node"`

	answer chan response // buffered for the one answer
}

type response struct {
	PID   int    `json:"pid"` // kill: that was killed; restart: that runs now
	Error string `json:"error,omitempty"`
}

// listenControl makes the socket in dir; a left-over of a dead supervisor is replaced, since the caller holds
// the directory's lock.
func listenControl(dir string) (net.Listener, error) {
	path, release, err := shortSocket(dir, socketName)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer release()
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ln.SetUnlinkOnClose(false) // path may be gone by then; the next start removes the file
	return ln, nil
}

// serveControl passes requests on until ctx ends; then it waits for its connections.
func serveControl(ctx context.Context, ln net.Listener, requests chan<- request) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	slots := make(chan struct{}, maxControls)
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		conns.Go(func() {
			defer func() { <-slots }()
			defer c.Close()
			unhook := context.AfterFunc(ctx, func() { c.Close() })
			defer unhook()
			c.SetDeadline(time.Now().Add(controlTime))
			json.NewEncoder(c).Encode(serveOne(ctx, c, requests))
		})
	}
}

func serveOne(ctx context.Context, c net.Conn, requests chan<- request) response {
	req, err := decodeRequest(c)
	if err != nil {
		return response{Error: err.Error()}
	}
	req.answer = make(chan response, 1)
	limit := time.NewTimer(controlTime)
	defer limit.Stop()
	stopping := response{Error: "the mesh is being stopped"}
	select {
	case requests <- req:
	case <-ctx.Done():
		return stopping
	case <-limit.C:
		return response{Error: "the supervisor is busy"}
	}
	select {
	case r := <-req.answer:
		return r
	case <-ctx.Done():
		return stopping
	case <-limit.C:
		return response{Error: fmt.Sprintf("%s of %s takes more than %s", req.Op, req.Node, controlTime)}
	}
}

func decodeRequest(r io.Reader) (request, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadSlice('\n')
	if err != nil {
		return request{}, errors.New("want one line of JSON")
	}
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return request{}, fmt.Errorf("want one line of JSON: %w", err)
	}
	if req.Op != "kill" && req.Op != "restart" {
		return request{}, fmt.Errorf("%.40q: want kill or restart", req.Op)
	}
	return req, nil
}

// Kill ends a node of the dev mesh whose mesh.json is at mesh with SIGKILL, and gives the process id that it had.
func Kill(ctx context.Context, mesh string, node skein.NodeID) (pid int, err error) {
	return control(ctx, mesh, request{Op: "kill", Node: node})
}

// Restart starts a dead node again, or stops a living one in order and then starts it; it gives the process
// id. The node may not be ready yet.
func Restart(ctx context.Context, mesh string, node skein.NodeID) (pid int, err error) {
	return control(ctx, mesh, request{Op: "restart", Node: node})
}

func control(ctx context.Context, mesh string, req request) (int, error) {
	dir, err := filepath.Abs(filepath.Dir(mesh))
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", req.Op, req.Node, err)
	}
	path, release, err := shortSocket(dir, socketName)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", req.Op, req.Node, err)
	}
	defer release()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		hint := ""
		if _, stopped := Stopped(mesh); stopped {
			hint = ": start it with `skein dev --dir " + quote(dir) + "`"
		}
		return 0, fmt.Errorf("%s %s: no dev mesh runs in %s%s", req.Op, req.Node, dir, hint)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	c.SetDeadline(time.Now().Add(controlTime + time.Second))
	if err := json.NewEncoder(c).Encode(req); err != nil {
		return 0, fmt.Errorf("%s %s: %w", req.Op, req.Node, err)
	}
	var r response
	if err := json.NewDecoder(io.LimitReader(c, maxRequest)).Decode(&r); err != nil {
		return 0, fmt.Errorf("%s %s: the supervisor ended before it answered", req.Op, req.Node)
	}
	if r.Error != "" {
		return 0, fmt.Errorf("%s %s: %s", req.Op, req.Node, r.Error)
	}
	return r.PID, nil
}
