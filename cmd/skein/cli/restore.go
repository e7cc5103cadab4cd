package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

func restoreCommand() *cobra.Command {
	var s shelf
	var from, name string
	var dry bool
	cmd := &cobra.Command{
		Use: "restore", Short: "Make the data directory of a region's first node from a backup", Args: usageArgs(cobra.NoArgs),
		Long: "Make the data directory of a node from a backup, on the host of that node, while the whole region is stopped and no node of\n" +
			"it has a replica. Start this node first, then the others with empty directories: they copy its state. The\n" +
			"backup is verified before anything is made, and a directory that holds a replica is refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return &usageError{errors.New("--from is needed: file:///DIRECTORY or s3://BUCKET/PREFIX")}
			}
			if err := node.CheckDepot(from); err != nil {
				return &usageError{fmt.Errorf("--from %w", err)}
			}
			if s.node.path == "" {
				return &usageError{errors.New("--config FILE is needed: the configuration of the node to be made")}
			}
			cfg, err := s.node.load("")
			if err != nil {
				return err
			}
			if r := skein.Region(s.region); r != "" && r != cfg.Region {
				return &usageError{fmt.Errorf("--region %s: the node of %s is of region %s", r, s.node.path, cfg.Region)}
			}
			b, err := node.Restore(cmd.Context(), cfg, from, name, dry)
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			if dry {
				return s.print(cmd, b, "can be restored (nothing was made)")
			}
			if err := s.print(cmd, b, "is restored to "+cfg.Dir); err != nil || s.asJSON {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Start %s first, then the other nodes of region %s with empty data directories.\n", cfg.Node, cfg.Region)
			return err
		},
	}
	s.register(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "where from: file:///DIRECTORY or s3://BUCKET/PREFIX")
	f.StringVar(&name, "backup", "", "its name (default the newest)")
	f.BoolVar(&dry, "dry-run", false, "read and verify everything, make nothing")
	f.Lookup("config").Usage = "configuration of the node to be made (skein.yaml); needed, also for a dev mesh"
	return cmd
}
