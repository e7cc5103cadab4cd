package cli

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/mesh"
)

func caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ca", Short: "Make the mesh's CA, and certificates of nodes and services", Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(caInitCommand(), caNodeCommand(), caServiceCommand())
	return cmd
}

func caInitCommand() *cobra.Command {
	var dir, name string
	cmd := &cobra.Command{
		Use: "init", Short: "Make a CA, the secret that all nodes share, and the token of operators", Args: usageArgs(cobra.NoArgs),
		Long: "Make ca.pem, ca.key, secret and admin.token in a directory. Keep ca.key away from the nodes; every node needs\n" +
			"ca.pem, secret and, for skein members and the like, admin.token.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("ca init: %w", err)
			}
			ca, err := mesh.NewCA(name)
			if err != nil {
				return fmt.Errorf("ca init: %w", err)
			}
			cert, key := ca.PEM()
			return writeNew(cmd, []output{
				{filepath.Join(dir, "ca.key"), key, 0o600},
				{filepath.Join(dir, "ca.pem"), cert, 0o644},
				{filepath.Join(dir, "secret"), randomLine(), 0o600},
				{filepath.Join(dir, "admin.token"), randomLine(), 0o600},
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the CA")
	cmd.Flags().StringVar(&name, "name", "skein mesh", "name of the CA in its certificate")
	return cmd
}

// randomLine gives 256 random bits in hexadecimal.
func randomLine() []byte {
	var b [32]byte
	rand.Read(b[:])
	return []byte(hex.EncodeToString(b[:]) + "\n")
}

func caNodeCommand() *cobra.Command {
	var dir, out, node, region, zone string
	var days int
	cmd := &cobra.Command{
		Use: "node", Short: "Issue a node's mesh identity: node.pem and node.key", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for what, name := range map[string]string{"--node": node, "--region": region, "--zone": zone} {
				if !skein.ValidName(name) {
					return &usageError{fmt.Errorf("%s %.80q: want 1 to %d letters, digits, '.', '_' or '-'", what, name, skein.MaxName)}
				}
			}
			ca, err := readCA(dir)
			if err != nil {
				return err
			}
			cert, key, err := ca.IssueNode(mesh.NodeRequest{Node: skein.NodeID(node), Region: skein.Region(region), Zone: skein.Zone(zone), Days: days})
			if err != nil {
				return fmt.Errorf("ca node: %w", err)
			}
			return writePair(cmd, out, "node", cert, key)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "directory of the CA")
	f.StringVar(&out, "out", ".", "directory for node.pem and node.key")
	f.StringVar(&node, "node", "", "id of the node, unique in the mesh")
	f.StringVar(&region, "region", "", "its region")
	f.StringVar(&zone, "zone", "", "its zone")
	f.IntVar(&days, "days", 365, "validity in days")
	return cmd
}

func caServiceCommand() *cobra.Command {
	var dir, out string
	var names, ips []string
	var days int
	cmd := &cobra.Command{
		Use: "service", Short: "Issue a certificate that clients see: service.pem and service.key", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := mesh.ServiceRequest{Names: names, Days: days}
			for _, s := range ips {
				ip, err := netip.ParseAddr(s)
				if err != nil {
					return &usageError{fmt.Errorf("--ip %.80q is no address", s)}
				}
				req.IPs = append(req.IPs, ip)
			}
			if len(names) == 0 {
				return &usageError{fmt.Errorf("--name is needed: the DNS zone of the service")}
			}
			ca, err := readCA(dir)
			if err != nil {
				return err
			}
			cert, key, err := ca.IssueService(req)
			if err != nil {
				return fmt.Errorf("ca service: %w", err)
			}
			return writePair(cmd, out, "service", cert, key)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "directory of the CA")
	f.StringVar(&out, "out", ".", "directory for service.pem and service.key")
	f.StringSliceVar(&names, "name", nil, "DNS name, several with commas")
	f.StringSliceVar(&ips, "ip", nil, "IP address, several with commas")
	f.IntVar(&days, "days", 365, "validity in days")
	return cmd
}

func readCA(dir string) (*mesh.CA, error) {
	cert, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("CA: %w; `skein ca init --dir %s` makes one", err, dir)
	}
	key, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	ca, err := mesh.ParseCA(cert, key)
	if err != nil {
		return nil, fmt.Errorf("CA in %s: %w", dir, err)
	}
	return ca, nil
}

type output struct {
	path string
	data []byte
	mode os.FileMode
}

func writePair(cmd *cobra.Command, dir, name string, cert, key []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("ca %s: %w", name, err)
	}
	return writeNew(cmd, []output{{filepath.Join(dir, name+".key"), key, 0o600}, {filepath.Join(dir, name+".pem"), cert, 0o644}})
}

// writeNew writes files that must not exist: a key that is overwritten is lost.
func writeNew(cmd *cobra.Command, files []output) error {
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil {
			return fmt.Errorf("%s exists already; move it away or choose another directory", f.path)
		}
	}
	for _, f := range files {
		if err := meshfile.Replace(f.path, f.data, f.mode); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), f.path)
	}
	return nil
}
