package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// completeNodes makes the shell offer the ids of the mesh's nodes for the one argument.
func completeNodes(cmd *cobra.Command, mesh *meshFlag) {
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return mesh.offer(begun, func(n meshfile.Node) string { return string(n.ID) })
	}
}

// completeRegion makes the shell offer the mesh's regions for --region.
func completeRegion(cmd *cobra.Command, mesh *meshFlag) {
	cmd.RegisterFlagCompletionFunc("region", func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) { //nolint:errcheck // the flag exists, or a test fails
		return mesh.offer(begun, func(n meshfile.Node) string { return string(n.Region) })
	})
}

// offer gives what of each node begins as the user's word does. Without a mesh there is nothing to offer.
func (f *meshFlag) offer(begun string, of func(meshfile.Node) string) ([]string, cobra.ShellCompDirective) {
	m, _, err := f.find()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, n := range m.Nodes {
		if w := of(n); strings.HasPrefix(w, begun) && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
