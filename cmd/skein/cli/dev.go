package cli

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/node"
)

func devCommand() *cobra.Command {
	var o dev.Options
	var offset int
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a whole mesh on this machine", Args: knownCommand,
		Long: "Run a mesh of several regions on this machine, every node a process of its own, until Ctrl-C.\n" +
			"A node that is killed stays dead: `skein dev restart NODE` starts it again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := complete(cmd, &o, offset); err != nil {
				return err
			}
			// What reads our output may end before us; the nodes must still be stopped in order.
			signal.Ignore(syscall.SIGPIPE)
			return dev.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Regions, "regions", "", `regions and the zones of their nodes, as in "eu=a,b,c;us=a,b"; "eu=a,a,b" puts two nodes in zone a (default "`+dev.DefaultRegions+`")`)
	f.IntVar(&o.Groups, "groups", 0, "into how many groups, each with its own leader, every region divides its sessions: 1 to 8 (default 1)")
	f.StringVar(&o.Dir, "dir", "", "directory for keys, data and logs; the same one resumes (default a temporary one)")
	f.StringVar(&o.Assistant, "assistant", "", "assistant definition in YAML (default the embedded shop)")
	f.BoolVar(&o.Watch, "watch", false, "take edits of --assistant in at once")
	f.StringVar(&o.Model, "model", "", "base URL of an OpenAI-compatible server, as in http://127.0.0.1:8000/v1")
	f.StringVar(&o.GeoFile, "geo", "", "file with lines of PREFIX REGION")
	f.BoolVar(&o.JSON, "json", false, "print one line of JSON when ready, instead of the table")
	f.IntVar(&o.Ports.Client, "port", 0, portHelp("QUIC and HTTPS", dev.DefaultPorts.Client))
	f.IntVar(&o.Ports.DNS, "dns-port", 0, portHelp("DNS", dev.DefaultPorts.DNS))
	f.IntVar(&o.Ports.Admin, "admin-port", 0, portHelp("admin", dev.DefaultPorts.Admin))
	f.IntVar(&o.Ports.Gossip, "gossip-port", 0, portHelp("gossip inside a region", dev.DefaultPorts.Gossip))
	f.IntVar(&o.Ports.Global, "global-port", 0, portHelp("gossip between regions", dev.DefaultPorts.Global))
	f.IntVar(&offset, "port-offset", 0, "add this to every default port")
	f.BoolVar(&o.OneAddress, "one-address", false, "use 127.0.0.1 only, with ports 100 apart")
	f.BoolVar(&o.NoTakeover, "no-takeover", false, "leave the open turns of dead nodes alone, to show that tests notice")
	f.MarkHidden("no-takeover")
	cmd.AddCommand(devKillCommand(), devRestartCommand())
	return cmd
}

func portHelp(use string, number int) string {
	return fmt.Sprintf("port of %s (default %d)", use, number)
}

// complete fills in what comes from the process and checks what flags refer to.
func complete(cmd *cobra.Command, o *dev.Options, offset int) error {
	if o.Watch && o.Assistant == "" {
		return &usageError{fmt.Errorf("--watch needs --assistant FILE")}
	}
	given := o.Assistant // as faults name it
	o.CheckAssistant = func() error { return node.CheckAssistant(given) }
	for _, path := range []*string{&o.Assistant, &o.GeoFile} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	if offset != 0 {
		d := dev.DefaultPorts
		for port, base := range map[*int]int{&o.Ports.Client: d.Client, &o.Ports.DNS: d.DNS, &o.Ports.Admin: d.Admin,
			&o.Ports.Gossip: d.Gossip, &o.Ports.Global: d.Global} {
			if *port == 0 {
				*port = base + offset
			}
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	state, err := meshfile.StateDir()
	if err != nil {
		return err
	}
	o.Executable, o.Command, o.StateDir = exe, calledAs(exe), state
	o.Stdout, o.Stderr, o.Getenv = cmd.OutOrStdout(), cmd.ErrOrStderr(), os.Getenv
	return nil
}

// calledAs gives what a user can type to run this binary again: by name where the path finds it.
func calledAs(exe string) string {
	if dev.UnderGoRun(exe) {
		return "go run ./cmd/skein"
	}
	if found, err := exec.LookPath("skein"); err == nil {
		a, errA := os.Stat(found)
		b, errB := os.Stat(exe)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return "skein"
		}
	}
	return exe
}

func devKillCommand() *cobra.Command {
	var mesh meshFlag
	cmd := &cobra.Command{
		Use: "kill NODE", Short: "Kill a node of a dev mesh with SIGKILL; it stays dead", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := meshfile.Locate(mesh.path)
			if err != nil {
				return err
			}
			pid, err := dev.Kill(cmd.Context(), path, skein.NodeID(args[0]))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "killed %s (pid %d)\n", args[0], pid)
			return err
		},
	}
	mesh.register(cmd)
	completeNodes(cmd, &mesh)
	return cmd
}
