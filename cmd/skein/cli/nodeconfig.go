package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/config"
	"github.com/skein-mesh/skein/node"
)

// nodeFlag is --config, which names the node that a command without a running node is about.
type nodeFlag struct {
	path string
	mesh meshFlag
}

func (f *nodeFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "config", "", "configuration of a node (skein.yaml), for its secret and its directories; a dev mesh needs none")
	f.mesh.register(cmd)
}

// load reads the configuration of the named node, or in a dev mesh of the first one of region; "" is the first of all.
func (f *nodeFlag) load(region skein.Region) (node.Config, error) {
	if f.path != "" {
		return config.Load(f.path, os.LookupEnv, nil)
	}
	m, path, err := f.mesh.find()
	if err != nil {
		return node.Config{}, fmt.Errorf("%w; or name a node's configuration with --config", err)
	}
	for _, n := range m.Nodes {
		if region != "" && n.Region != region {
			continue
		}
		file, ok := dev.NodeFile(path, n.ID)
		if !ok {
			return node.Config{}, &usageError{errors.New("--config FILE is needed: the configuration of a node of the region")}
		}
		return config.Load(file, nil, nil)
	}
	return node.Config{}, fmt.Errorf("the mesh has no region %q", region)
}
