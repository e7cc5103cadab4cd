package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// meshFlag is --mesh, which most commands have.
type meshFlag struct{ path string }

func (f *meshFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "mesh", "", "mesh.json (default $"+meshfile.Env+", else the newest living dev mesh)")
}

// find finds and reads the mesh file.
func (f *meshFlag) find() (*meshfile.File, string, error) {
	path, err := meshfile.Locate(f.path)
	if err != nil {
		return nil, "", err
	}
	m, err := meshfile.Read(path)
	if f.path == "" && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; $%s names it: has that mesh ended? Set the variable anew, or unset it", err, meshfile.Env)
	}
	return m, path, err
}

// running is find for a mesh that runs, as far as that can be told: a dev mesh that does not is refused.
func (f *meshFlag) running() (*meshfile.File, string, error) {
	m, path, err := f.find()
	if err != nil {
		return nil, "", err
	}
	if dir, stopped := dev.Stopped(path); stopped {
		return nil, "", fmt.Errorf("the mesh is stopped: start it with `skein dev --dir %s`", dir)
	}
	return m, path, nil
}

// read is running for a mesh with a node that could answer.
func (f *meshFlag) read() (*meshfile.File, string, error) {
	m, path, err := f.running()
	if err != nil {
		return nil, "", err
	}
	dir, _ := dev.Stopped(path)
	dead := dir != ""
	for _, n := range m.Nodes {
		dead = dead && n.PID == 0
	}
	if dead {
		return nil, "", fmt.Errorf("all nodes of the mesh are dead: start one with `skein dev restart %s`", m.Nodes[0].ID)
	}
	return m, path, nil
}

// operator asks the nodes of a dev mesh, dead or alive.
func (f *meshFlag) operator() (*operator, string, error) {
	m, path, err := f.find()
	if err != nil {
		return nil, "", err
	}
	o, err := newOperator(m)
	return o, path, err
}
