package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
)

// groupsCommand lists the groups into which the regions divide their sessions.
func groupsCommand() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use: "groups", Short: "List the groups of the regions, their leaders and voters", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := l.operator()
			if err != nil {
				return err
			}
			regions := o.regions()
			lists, faults := askRegions(regions, func(r skein.Region) (admin.GroupList, error) {
				var list admin.GroupList
				err := o.any(cmd.Context(), inRegion(r), "/v1/groups", &list)
				return list, err
			})
			lists = slices.DeleteFunc(lists, func(g admin.GroupList) bool { return len(g.Groups) == 0 })
			if len(lists) == 0 {
				return fmt.Errorf("groups: %w", errors.Join(faults...))
			}
			warn(cmd, faults)
			if l.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					Regions []admin.GroupList `json:"regions"`
				}{lists})
			}
			return printGroups(cmd.OutOrStdout(), lists)
		},
	}
	l.register(cmd)
	return cmd
}

func printGroups(w io.Writer, lists []admin.GroupList) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REGION\tGROUP\tLEADER\tQUORUM\tVOTERS\tSPARES\tSESSIONS\tOPEN\tAPPLIED")
	for _, l := range lists {
		for _, g := range l.Groups {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", l.Region, g.Group, leaders([]skein.NodeID{g.Leader}), yesNo(g.Quorum),
				names(g.Voters), names(g.Spares), g.Sessions, g.OpenTurns, g.Applied)
		}
	}
	return t.Flush()
}

func names(ids []skein.NodeID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = string(id)
	}
	return dash(strings.Join(list, ","))
}

// leads gives how many groups a node leads; who answers does not know it of other regions.
func leads(m admin.Member) string {
	if m.Leads == 0 {
		return "-"
	}
	return strconv.Itoa(m.Leads)
}

// leaders names the leader of each group, in the order of the groups.
func leaders(ids []skein.NodeID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		if names[i] = string(id); id == "" {
			names[i] = "none"
		}
	}
	return strings.Join(names, ",")
}

// quorum reports whether every group has one.
func quorum(groups []admin.GroupStatus) bool {
	return !slices.ContainsFunc(groups, func(g admin.GroupStatus) bool { return !g.Quorum })
}

// sum makes one line of a node's groups: the counts are added, the role says how many it leads, and the hash is one over
// theirs, so that equal replicas show the same.
func sum(groups []admin.GroupStatus) admin.GroupStatus {
	if len(groups) == 1 {
		return groups[0]
	}
	total := admin.GroupStatus{}
	led := 0
	hash := sha256.New()
	for _, g := range groups {
		if g.Role == "leader" {
			led++
		}
		total.Sessions += g.Sessions
		total.OpenTurns += g.OpenTurns
		total.Applied += g.Applied
		io.WriteString(hash, g.Hash) //nolint:errcheck // a hash takes everything
	}
	total.Role = fmt.Sprintf("leads %d of %d", led, len(groups))
	if len(groups) > 0 {
		total.Hash = hex.EncodeToString(hash.Sum(nil))
	}
	return total
}
