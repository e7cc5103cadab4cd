package dev

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Wipe removes the data of a dead node of the dev mesh whose mesh.json is at mesh, as the loss of its disk would. It
// refuses a node that runs.
func Wipe(mesh string, node skein.NodeID) error {
	dir, _ := Stopped(mesh)
	if dir == "" {
		return fmt.Errorf("wipe %s: %s is not of a dev mesh", node, mesh)
	}
	m, err := meshfile.Read(mesh)
	if err != nil {
		return fmt.Errorf("wipe %s: %w", node, err)
	}
	n, err := m.Node(node)
	if err != nil {
		return fmt.Errorf("wipe: %w", err)
	}
	if n.PID != 0 {
		return fmt.Errorf("wipe %s: it runs, with pid %d: kill it first", node, n.PID)
	}
	h := home{dir: filepath.Clean(dir)}
	if err := os.RemoveAll(h.nodePath(node, "data")); err != nil {
		return fmt.Errorf("wipe %s: %w", node, err)
	}
	return nil
}
