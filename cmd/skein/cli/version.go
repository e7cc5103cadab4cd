package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/wire"
)

// version is set by the linker at a release: -ldflags "-X github.com/skein-mesh/skein/cmd/skein/cli.version=1.2.3".
var version string

// build says what this binary is made of.
func build() admin.Build {
	b := admin.Build{Version: version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value[:min(len(s.Value), 12)]
		}
	}
	return b
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Say which build this is", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := build()
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
