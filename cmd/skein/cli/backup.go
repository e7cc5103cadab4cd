package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/node"
)

// backupPoll is how often a node is asked how its backup goes; backupDeaf how long it may not answer.
const (
	backupPoll = 200 * time.Millisecond
	backupDeaf = 30 * time.Second
)

// backing is a backup that is wanted.
type backing struct {
	listing
	to, region, node string
	keep             int
}

func backupCommand() *cobra.Command {
	var b backing
	cmd := &cobra.Command{
		Use: "backup", Short: "Back up the sessions of a region to a directory or to S3-compatible storage", Args: knownCommand,
		Long: "Back up the sessions of a region while it runs. A node of the region copies one replica of each group and writes\n" +
			"them, sealed with a key of the mesh, to a directory that it can reach (file:///DIRECTORY) or to S3-compatible\n" +
			"storage (s3://BUCKET/PREFIX?endpoint=URL&region=NAME); the key of that is in the environment of the node:\n" +
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. All that was acknowledged before is in the backup.",
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd) },
	}
	b.register(cmd)
	f := cmd.Flags()
	f.StringVar(&b.to, "to", "", "where to: file:///DIRECTORY or s3://BUCKET/PREFIX")
	f.StringVar(&b.region, "region", "", "only this region (default all, one after the other)")
	completeRegion(cmd, &b.mesh)
	f.StringVar(&b.node, "node", "", "the node that writes it (default any of the region)")
	f.IntVar(&b.keep, "keep", 0, "afterwards remove the region's backups there but the newest N (default: all stay)")
	cmd.AddCommand(backupListCommand(), backupVerifyCommand())
	return cmd
}

func (b *backing) run(cmd *cobra.Command) error {
	if b.to == "" {
		return &usageError{errors.New("--to is needed: file:///DIRECTORY or s3://BUCKET/PREFIX")}
	}
	if err := node.CheckDepot(b.to); err != nil {
		return &usageError{fmt.Errorf("--to %w", err)}
	}
	if b.keep < 0 {
		return &usageError{fmt.Errorf("--keep %d: want 1 or more", b.keep)}
	}
	o, err := b.operator()
	if err != nil {
		return err
	}
	regions := o.regions()
	if b.region != "" {
		regions = []skein.Region{skein.Region(b.region)}
	}
	if b.node != "" {
		n, err := o.mesh.Node(skein.NodeID(b.node))
		if err != nil {
			return err
		}
		regions = []skein.Region{n.Region}
	}
	var states []admin.BackupState
	var faults []error
	for _, r := range regions {
		state, err := b.ofRegion(cmd.Context(), o, r)
		if err != nil {
			faults = append(faults, fmt.Errorf("backup of region %s: %w", r, err))
			continue
		}
		states = append(states, state)
	}
	if b.asJSON {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(states)
	} else {
		err = printBackupsMade(cmd.OutOrStdout(), states)
	}
	return errors.Join(append(faults, err)...)
}

// ofRegion has one region backed up and waits for the end of it.
func (b *backing) ofRegion(ctx context.Context, o *operator, region skein.Region) (admin.BackupState, error) {
	var state admin.BackupState
	query := url.Values{"to": {b.to}}
	if b.keep > 0 {
		query.Set("keep", strconv.Itoa(b.keep))
	}
	last := fmt.Errorf("the mesh file has no node of region %s", region)
	for _, n := range livingFirst(o.mesh.Nodes) {
		if n.Region != region || b.node != "" && n.ID != skein.NodeID(b.node) {
			continue
		}
		if last = o.ask(ctx, n, http.MethodPost, "/v1/backups?"+query.Encode(), &state); last == nil {
			return awaitBackup(ctx, o, n, state.Began)
		}
		if e, refused := errors.AsType[*skein.Error](last); refused && !e.Code.Retry() || ctx.Err() != nil {
			break
		}
	}
	return state, last
}

// awaitBackup asks until the backup that a node began then has ended.
func awaitBackup(ctx context.Context, o *operator, n meshfile.Node, began time.Time) (admin.BackupState, error) {
	heard := time.Now()
	for {
		var state admin.BackupState
		err := o.ask(ctx, n, http.MethodGet, "/v1/backups", &state)
		switch {
		case err == nil && state.To == "":
			return state, fmt.Errorf("node %s was started again meanwhile: the backup is not made", n.ID)
		case err == nil && !state.Began.Equal(began):
			return state, fmt.Errorf("node %s makes another backup by now: `skein backup list` shows whether this one was made", n.ID)
		case err == nil && !state.Running && state.Backup != nil:
			return state, warning(state.Error)
		case err == nil && !state.Running:
			return state, errors.New(state.Error)
		case err == nil:
			heard = time.Now()
		case time.Since(heard) > backupDeaf:
			return state, fmt.Errorf("%w; whether the backup was made is shown by `skein backup list`", err)
		}
		select {
		case <-time.After(backupPoll):
		case <-ctx.Done():
			return state, fmt.Errorf("node %s goes on with it: %w", n.ID, context.Cause(ctx))
		}
	}
}

func warning(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

func printBackupsMade(w io.Writer, states []admin.BackupState) error {
	for _, s := range states {
		if _, err := fmt.Fprintf(w, "backup %s of region %s: %d sessions, %d bytes, by %s in %v\n", s.Backup.Name, s.Backup.Region,
			s.Backup.Sessions, s.Backup.Bytes, s.Node, time.Duration(s.Backup.TookMS)*time.Millisecond); err != nil {
			return err
		}
		for _, name := range s.Removed {
			fmt.Fprintf(w, "removed %s\n", name)
		}
	}
	return nil
}

// shelf is what list, verify and restore have in common: where, and whose.
type shelf struct {
	node   nodeFlag
	region string
	asJSON bool
}

func (s *shelf) register(cmd *cobra.Command) {
	s.node.register(cmd)
	cmd.Flags().StringVar(&s.region, "region", "", "the region (default that of the node)")
	completeRegion(cmd, &s.node.mesh)
	cmd.Flags().BoolVar(&s.asJSON, "json", false, "print JSON")
}

func (s *shelf) open(at string) (*node.Vault, error) {
	if err := node.CheckDepot(at); err != nil {
		return nil, &usageError{err}
	}
	cfg, err := s.node.load(skein.Region(s.region))
	if err != nil {
		return nil, err
	}
	if s.region != "" {
		cfg.Region = skein.Region(s.region)
	}
	return node.OpenVault(cfg, at)
}

func backupListCommand() *cobra.Command {
	var s shelf
	cmd := &cobra.Command{
		Use: "list URL", Short: "List the backups of a region", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := s.open(args[0])
			if err != nil {
				return err
			}
			defer v.Close()
			list, faults, err := v.List(cmd.Context())
			if err != nil {
				return fmt.Errorf("backup list: %w", err)
			}
			warn(cmd, faults)
			if s.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return printBackups(cmd.OutOrStdout(), list)
		},
	}
	s.register(cmd)
	return cmd
}

func printBackups(w io.Writer, list []admin.Backup) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no backups")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tREGION\tEPOCH\tGROUPS\tSESSIONS\tBYTES\tTOOK\tBY")
	for _, b := range list {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%v\t%s\n", b.Name, b.Region, b.Epoch, b.Groups, b.Sessions, b.Bytes,
			time.Duration(b.TookMS)*time.Millisecond, b.Node)
	}
	return t.Flush()
}

func backupVerifyCommand() *cobra.Command {
	var s shelf
	var name string
	cmd := &cobra.Command{
		Use: "verify URL", Short: "Read a whole backup and check it as a restore would", Args: usageArgs(cobra.ExactArgs(1)),
		Long: "Read a whole backup and check it as a restore would: checksums, seals, and every record of the state, which is\n" +
			"unpacked into a temporary directory ($TMPDIR) for that. Nothing else is written.",
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := s.open(args[0])
			if err != nil {
				return err
			}
			defer v.Close()
			b, err := v.Verify(cmd.Context(), name)
			if err != nil {
				return fmt.Errorf("backup verify: %w", err)
			}
			return s.print(cmd, b, "is whole")
		},
	}
	s.register(cmd)
	cmd.Flags().StringVar(&name, "backup", "", "its name (default the newest)")
	return cmd
}

func (s *shelf) print(cmd *cobra.Command, b *admin.Backup, what string) error {
	if s.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(b)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "backup %s of region %s %s: %d sessions in %d groups, up to index %v\n",
		b.Name, b.Region, what, b.Sessions, b.Groups, b.Index)
	return err
}
