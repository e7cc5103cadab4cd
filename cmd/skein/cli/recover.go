package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/config"
	"github.com/skein-mesh/skein/node"
)

// recovering is a recovery from a lost quorum.
type recovering struct {
	mesh    meshFlag
	region  string
	configs []string
	yes     string
}

func recoverCommand() *cobra.Command {
	var r recovering
	cmd := &cobra.Command{
		Use: "recover", Short: "Let a region that has lost its quorum go on from the best replica that is left", Args: usageArgs(cobra.NoArgs),
		Long: "Let a region go on that has lost the majority of its voters for ever. The replicas that are left are listed, those of running nodes\n" +
			"and with --config those of stopped ones on this host; for each group that has no leader the best is proposed: of the\n" +
			"highest cluster epoch, then term, then index. After the name of the region was typed it goes on alone, in a new\n" +
			"cluster epoch, and all others join it. What only lost nodes had acknowledged is gone. A lost node that comes back all the\n" +
			"same is told so: it sets its state aside (quarantine-TIME in its data directory) and joins as an empty one.\n" +
			"Make sure that lost nodes are off: until they hear of the new epoch, a majority of them serves whoever reaches it.",
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	r.mesh.register(cmd)
	f := cmd.Flags()
	f.StringVar(&r.region, "region", "", "the region (default the only one)")
	completeRegion(cmd, &r.mesh)
	f.StringArrayVar(&r.configs, "config", nil, "configuration of a stopped node on this host (skein.yaml); may be repeated")
	f.StringVar(&r.yes, "yes-i-know", "", "the name of the region, instead of typing it")
	return cmd
}

// survivor is a replica that is left, and how it is reached.
type survivor struct {
	admin.Replica
	online  *meshfile.Node
	offline *node.Config
}

// pick is the survivor with which a group goes on.
type pick struct {
	survivor
	epoch uint64
}

func (r *recovering) run(cmd *cobra.Command) error {
	region, all, o, err := r.survey(cmd)
	if err != nil {
		return err
	}
	printSurvivors(cmd.OutOrStdout(), all)
	picks, err := choose(all, time.Now())
	if err != nil {
		return fmt.Errorf("recover: region %s: %w", region, err)
	}
	for _, p := range picks {
		fmt.Fprintf(cmd.OutOrStdout(), "group %d goes on with %s, index %d of term %d, in cluster epoch %d\n", p.Group, p.Node, p.Last, p.LastTerm, p.epoch)
	}
	if err := r.confirm(cmd, region); err != nil {
		return err
	}
	for _, p := range picks {
		if err := p.carryOut(cmd.Context(), o, region, picks); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "done; start what is stopped, and see `skein regions`\n")
	return err
}

// survey finds the replicas of the region.
func (r *recovering) survey(cmd *cobra.Command) (region skein.Region, all []survivor, o *operator, err error) {
	region = skein.Region(r.region)
	var configs []node.Config
	for _, path := range r.configs {
		cfg, err := config.Load(path, os.LookupEnv, nil)
		if err != nil {
			return region, nil, nil, err
		}
		if region == "" {
			region = cfg.Region
		}
		if cfg.Region != region {
			return region, nil, nil, &usageError{fmt.Errorf("--config %s: node %s is of region %s, not of %s", path, cfg.Node, cfg.Region, region)}
		}
		configs = append(configs, cfg)
	}
	o, _, err = r.mesh.operator()
	if err != nil && (len(configs) == 0 || r.mesh.path != "") {
		return region, nil, nil, err
	}
	if o != nil && region == "" {
		if names := o.regions(); len(names) == 1 {
			region = names[0]
		} else {
			return region, nil, nil, &usageError{errors.New("--region is needed: the mesh has several")}
		}
	}
	if o != nil && len(configs) == 0 && !slices.Contains(o.regions(), region) {
		return region, nil, nil, &usageError{fmt.Errorf("recover: region %s: %w", region, errNoNodes)}
	}
	for i := range configs {
		found, err := node.Replicas(configs[i])
		if err != nil {
			return region, nil, nil, err
		}
		for _, f := range found {
			all = append(all, survivor{Replica: f, offline: &configs[i]})
		}
	}
	return region, append(all, online(cmd, o, region)...), o, nil
}

// online asks the running nodes of the region; those that do not answer are told of.
func online(cmd *cobra.Command, o *operator, region skein.Region) (all []survivor) {
	if o == nil {
		return nil
	}
	var faults []error
	for i := range o.mesh.Nodes {
		n := &o.mesh.Nodes[i]
		if n.Region != region {
			continue
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), anyTimeout)
		var list admin.ReplicaList
		err := o.ask(ctx, *n, http.MethodGet, "/v1/replicas", &list)
		cancel()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, f := range list.Replicas {
			all = append(all, survivor{Replica: f, online: n})
		}
	}
	warn(cmd, faults)
	return all
}

// choose gives for each group that has no leader the best of its replicas.
func choose(all []survivor, now time.Time) ([]pick, error) {
	best := map[uint32]*survivor{}
	led := map[uint32]skein.NodeID{}
	for i := range all {
		s := &all[i]
		if s.Leader != "" {
			led[s.Group] = s.Leader
		}
		if s.Epoch == 0 { // there is no state
			continue
		}
		if b := best[s.Group]; b == nil || !node.AtLeast(&b.Replica, &s.Replica) {
			best[s.Group] = s
		}
	}
	var picks []pick
	for group, s := range best {
		if led[group] == "" {
			picks = append(picks, pick{*s, node.NextEpoch(s.Epoch, now)})
		}
	}
	slices.SortFunc(picks, func(a, b pick) int { return int(a.Group) - int(b.Group) })
	switch {
	case len(picks) > 0:
		return picks, nil
	case len(led) > 0:
		return nil, errors.New("every group that is known here has a leader: nothing is lost, nothing was changed")
	}
	return nil, errors.New("no replica with any state was found: name stopped nodes with --config, or restore a backup with `skein restore`")
}

func printSurvivors(w io.Writer, all []survivor) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GROUP\tNODE\tRUNS\tEPOCH\tTERM\tLAST\tAPPLIED\tSESSIONS\tWHOLE\tLEADER\tVOTERS")
	for _, s := range all {
		voters := make([]string, len(s.Voters))
		for i, v := range s.Voters {
			voters[i] = string(v)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", s.Group, s.Node, yesNo(s.online != nil), s.Epoch, s.LastTerm, s.Last,
			s.Applied, s.Sessions, yesNo(!s.Fenced && s.Epoch != 0), dash(string(s.Leader)), dash(strings.Join(voters, ",")))
	}
	t.Flush() //nolint:errcheck // a terminal that is gone
}

// confirm wants the name of the region.
func (r *recovering) confirm(cmd *cobra.Command, region skein.Region) error {
	typed := r.yes
	if typed == "" {
		fmt.Fprintf(cmd.OutOrStdout(), "What other replicas have beyond this is given up. Type the name of the region to go on: ")
		line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 1024)).ReadString('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("recover: %w", err)
		}
		typed = strings.TrimSpace(line)
	}
	if typed != string(region) {
		return &usageError{fmt.Errorf("recover: %.80q is not %s: nothing was changed", typed, region)}
	}
	return nil
}

// carryOut orders the recovery of the node's groups, with the first of them.
func (p *pick) carryOut(ctx context.Context, o *operator, region skein.Region, picks []pick) error {
	var groups []uint32
	var texts []string
	epoch := p.epoch
	for _, q := range picks {
		if q.Node == p.Node {
			groups = append(groups, q.Group)
			texts = append(texts, strconv.Itoa(int(q.Group)))
			epoch = max(epoch, q.epoch)
		}
	}
	if groups[0] != p.Group {
		return nil // ordered already
	}
	if p.offline != nil {
		return node.Recover(*p.offline, groups, epoch)
	}
	query := url.Values{"region": {string(region)}, "epoch": {strconv.FormatUint(epoch, 10)}, "groups": {strings.Join(texts, ",")}}
	var done admin.Recovered
	return o.ask(ctx, *p.online, http.MethodPost, "/v1/recover?"+query.Encode(), &done)
}
