package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// Times of a restart.
const (
	restartLimit = 60 * time.Second // for the node to answer
	restartGrace = 5 * time.Second  // for a node that answers to become ready: an election takes about one
	restartPause = 100 * time.Millisecond
)

func devRestartCommand() *cobra.Command {
	var mesh meshFlag
	cmd := &cobra.Command{
		Use: "restart NODE", Short: "Start a dead node of a dev mesh, or stop and start a living one", Args: usageArgs(cobra.ExactArgs(1)),
		Long: "Start a dead node of a dev mesh, or stop and start a living one, and wait until it is ready. Where too few nodes\n" +
			"of its region run for a majority it cannot be ready yet: the command says so and ends well.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, path, err := mesh.operator()
			if err != nil {
				return err
			}
			node, err := o.mesh.Node(skein.NodeID(args[0]))
			if err != nil {
				return err
			}
			began := time.Now()
			pid, err := dev.Restart(cmd.Context(), path, node.ID)
			if err != nil {
				return err
			}
			r := restart{operator: o, node: node, alive: func() bool { return runs(path, node.ID, pid) }, grace: restartGrace}
			verdict, err := r.await(cmd.Context())
			if err != nil {
				return fmt.Errorf("%s was started (pid %d): %w", node.ID, pid, err)
			}
			if verdict == "" {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is ready (pid %d) after %.1f s\n", node.ID, pid, time.Since(began).Seconds())
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is started (pid %d); %s\n", node.ID, pid, verdict)
			}
			return err
		},
	}
	mesh.register(cmd)
	completeNodes(cmd, &mesh)
	return cmd
}

// runs reports whether the mesh file says that the process is the node's.
func runs(path string, node skein.NodeID, pid int) bool {
	m, err := meshfile.Read(path)
	if err != nil {
		return true // not known
	}
	n, err := m.Node(node)
	return err != nil || n.PID == pid
}

// restart is a node that was started.
type restart struct {
	operator *operator
	node     meshfile.Node
	alive    func() bool
	grace    time.Duration // for a node that answers to become ready
}

// await waits until the node is ready, or answers and cannot become so; verdict says why then.
func (r restart) await(ctx context.Context) (verdict string, err error) {
	limit, cancel := context.WithTimeout(ctx, restartLimit)
	defer cancel()
	var answered time.Time
	for {
		var st admin.Status
		err := r.operator.ask(limit, r.node, http.MethodGet, "/debug/status", &st)
		switch {
		case err == nil && st.Ready == "ok":
			return "", nil
		case err == nil && answered.IsZero():
			answered = time.Now()
		case err == nil && time.Since(answered) < r.grace:
		case err == nil && !quorum(st.Groups):
			return "its region has no quorum yet", nil
		case err == nil:
			return "it is not ready yet: " + st.Ready, nil
		case ctx.Err() != nil:
			return "", errors.New("interrupted")
		case !r.alive():
			return "", errors.New("but it has ended; its log says why")
		case limit.Err() != nil:
			return "", fmt.Errorf("but it does not answer: %w", err)
		}
		pause(limit, restartPause)
	}
}
