package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/config"
	"github.com/skein-mesh/skein/node"
)

func agentCommand() *cobra.Command {
	var file, level string
	cmd := &cobra.Command{
		Use: "agent", Short: "Run one node", Args: usageArgs(cobra.NoArgs),
		Long: "Run one node until SIGINT or SIGTERM. Every key of the file is also a flag and an environment variable:\n" +
			"listen.client is --listen-client and $SKEIN_LISTEN_CLIENT. A flag goes before the environment, that before the file.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return &usageError{errors.New("--config FILE is needed")}
			}
			var least slog.Level
			if err := least.UnmarshalText([]byte(level)); err != nil {
				return &usageError{fmt.Errorf("--log-level %.20q: want debug, info, warn or error", level)}
			}
			cfg, err := config.Load(file, os.LookupEnv, given(cmd))
			if err != nil {
				return err
			}
			lines := newLogQueue(cmd.ErrOrStderr())
			defer lines.close()
			cfg.Log = lines.logger(least)
			return runAgent(cmd.Context(), cfg, lines.close)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration file of the node (skein.yaml)")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	for _, k := range config.Keys() {
		f.String(k.Flag, "", k.What)
		if k.TestOnly {
			f.MarkHidden(k.Flag) //nolint:errcheck // it was made in the line above
		}
	}
	return cmd
}

// given are the flags of configuration keys that are on the command line.
func given(cmd *cobra.Command) map[string]string {
	flags := map[string]string{}
	for _, k := range config.Keys() {
		if f := cmd.Flags().Lookup(k.Flag); f != nil && f.Changed {
			flags[k.Flag] = f.Value.String()
		}
	}
	return flags
}

// runAgent runs the node. Under `skein dev` it ends the process at once when the supervisor ends, however that
// happens: the mesh survives the sudden death of a node, but one that nobody stops would stay for ever. flush writes out the log.
func runAgent(ctx context.Context, cfg node.Config, flush func()) error {
	lifeline, err := dev.Lifeline()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" && cfg.GCPercent > 0 {
		debug.SetGCPercent(cfg.GCPercent)
	}
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if lifeline == nil {
			return
		}
		dev.WatchLifeline(ctx, lifeline, func() {
			cfg.Log.Error("the supervisor has ended, so this node ends too")
			flush()
			os.Exit(exitFault)
		})
	}()
	err = node.Run(ctx, cfg)
	cancel()
	<-watched
	if err != nil {
		return &nodeError{err}
	}
	return nil
}
