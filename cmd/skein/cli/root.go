package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Main runs the command line args (without the program's name) and gives the exit code.
func Main(args []string) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	// From the first signal on the next one has its default effect: a stop that takes too long can be cut short.
	context.AfterFunc(ctx, stop)
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "skein: %s\n", oneLine(err))
	return exitCode(err)
}

// oneLine joins what errors.Join writes on lines.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; ")
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "skein",
		Short:         "Conversations that survive the death of any node, answered at the edge",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; `%s --help` lists the flags", err, cmd.CommandPath())}
	})
	root.AddCommand(devCommand(), agentCommand(), chatCommand(), watchCommand(), membersCommand(), regionsCommand(), groupsCommand(),
		sessionsCommand(), historyCommand(), deadLettersCommand(), archiveCommand(), backupCommand(), restoreCommand(), recoverCommand(), drainCommand(true), drainCommand(false), tokenCommand(), caCommand(), benchCommand(), versionCommand())
	return root
}

// knownCommand refuses arguments of a command that only groups others, with the nearest names.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	near := ""
	cmd.SuggestionsMinimumDistance = 2 // edits
	if list := cmd.SuggestionsFor(args[0]); len(list) > 0 {
		near = ", did you mean " + strings.Join(list, " or ") + "?"
	}
	return &usageError{fmt.Errorf("`%s` has no command %.80q%s; `%s --help` lists them", cmd.CommandPath(), args[0], near, cmd.CommandPath())}
}

// usageArgs makes what check refuses a wrong command line.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
}

// secretLine reads a file of one line, such as a token.
func secretLine(path, what string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("the mesh file names no %s file", what)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	const limit = 16 << 10
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	line := strings.TrimSpace(string(data))
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return "", fmt.Errorf("%s %s: want one line", what, path)
	}
	return line, nil
}
