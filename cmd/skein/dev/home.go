package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// home is the directory of one dev mesh, locked by its supervisor.
type home struct {
	dir  string // absolute
	temp bool   // removed at the end
	lock *meshfile.Lock
}

// openHome makes or opens dir, or a temporary directory when dir is empty, and locks it.
func openHome(dir string) (*home, error) {
	h := &home{temp: dir == ""}
	if h.temp {
		made, err := os.MkdirTemp("", "skein-dev-")
		if err != nil {
			return nil, fmt.Errorf("make a directory: %w; name one with --dir", err)
		}
		dir = made
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("--dir %s: %w", dir, err)
	}
	h.dir = abs
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("--dir: %w; choose a directory that you may write to", err)
	}
	if err := h.refuseForeign(); err != nil {
		return nil, err
	}
	h.lock, err = meshfile.Acquire(h.path("lock"))
	if held, ok := errors.AsType[*meshfile.HeldError](err); ok {
		return nil, fmt.Errorf("a dev mesh runs on %s already, with pid %d: use it, end it (kill %d), or choose another --dir", abs, held.PID, held.PID)
	}
	if err != nil {
		return nil, fmt.Errorf("--dir %s: %w; choose a directory that you may write to", abs, err)
	}
	// The directory may have existed with other rights; it is about to hold private keys.
	if err := os.Chmod(abs, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("--dir: %w", err), h.lock.Release())
	}
	return h, nil
}

// Stopped reports whether the mesh whose mesh.json is at path is a dev mesh that nobody runs; dir is the directory of
// a dev mesh, running or not, and empty for any other mesh.
func Stopped(path string) (dir string, stopped bool) {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return "", false
	}
	if _, err := os.Stat(filepath.Join(dir, planFile)); err != nil {
		return "", false
	}
	_, held := meshfile.Held(filepath.Join(dir, "lock"))
	return dir, !held
}

// NodeFile gives the configuration of a node of the dev mesh whose mesh.json is at path; false for any other mesh.
func NodeFile(path string, id skein.NodeID) (file string, ok bool) {
	dir, _ := Stopped(path)
	if dir == "" {
		return "", false
	}
	return (&home{dir: dir}).nodePath(id, "skein.yaml"), true
}

// refuseForeign keeps keys out of directories that hold something else.
func (h *home) refuseForeign() error {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return fmt.Errorf("--dir: %w; choose a directory that you may read", err)
	}
	if len(entries) == 0 {
		return nil
	}
	for _, known := range []string{"dev.json", "lock"} {
		if _, err := os.Stat(h.path(known)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("--dir %s holds %s and no dev mesh: choose an empty directory", h.dir, entries[0].Name())
}

func (h *home) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

func (h *home) nodePath(id skein.NodeID, parts ...string) string {
	return h.path(append([]string{"nodes", string(id)}, parts...)...)
}

// close ends the lock, and removes a temporary directory; kept says whether the directory is still there.
func (h *home) close() (kept bool, err error) {
	if h.temp {
		err = os.RemoveAll(h.dir)
	}
	return !h.temp, errors.Join(err, h.lock.Release())
}
