package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/node"
	"github.com/skein-mesh/skein/wire"
)

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Say which build this is", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := node.Build()
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(struct {
					admin.Build
					Protocol int `json:"protocol"`
				}{b, wire.Version})
			}
			commit := ""
			if b.Commit != "" {
				commit = ", " + b.Commit
			}
			_, err := fmt.Fprintf(out, "skein %s (%s%s, protocol %d)\n", b.Version, b.Go, commit, wire.Version)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
