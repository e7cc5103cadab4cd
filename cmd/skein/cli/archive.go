package cli

import (
	"bufio"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

func archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Short: "Find closed sessions in the archive, or erase them there", Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(archiveGetCommand(), archiveEraseCommand())
	return cmd
}

// shelved is what is looked for in an archive.
type shelved struct {
	shelf
	from, session, subject string
}

func (s *shelved) register(cmd *cobra.Command) {
	s.shelf.register(cmd)
	cmd.Flags().Lookup("json").Hidden = true // the lines are JSON anyway
	f := cmd.Flags()
	f.StringVar(&s.from, "from", "", "the archive: file:///DIRECTORY or s3://BUCKET/PREFIX, as archive.to")
	f.StringVar(&s.session, "session", "", "this session")
	f.StringVar(&s.subject, "subject", "", "all sessions of this subject")
}

func (s *shelved) openNamed() (*node.Vault, error) {
	switch {
	case s.from == "":
		return nil, &usageError{errors.New("--from is needed: file:///DIRECTORY or s3://BUCKET/PREFIX")}
	case (s.session == "") == (s.subject == ""):
		return nil, &usageError{errors.New("one of --session and --subject is needed")}
	}
	return s.open(s.from)
}

func archiveGetCommand() *cobra.Command {
	var s shelved
	cmd := &cobra.Command{
		Use: "get", Short: "Print the archived events of a session, or of a subject, as lines of JSON", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := s.openNamed()
			if err != nil {
				return err
			}
			defer v.Close()
			out := bufio.NewWriter(cmd.OutOrStdout())
			n, err := v.Archived(cmd.Context(), skein.SessionID(s.session), skein.Subject(s.subject), out)
			if err = errors.Join(err, out.Flush()); err != nil {
				return fmt.Errorf("archive get: %w", err)
			}
			if n == 0 {
				return fmt.Errorf("archive get: the archive of region %s has no such session", v.Region)
			}
			return nil
		},
	}
	s.register(cmd)
	return cmd
}

func archiveEraseCommand() *cobra.Command {
	var s shelved
	var yes bool
	cmd := &cobra.Command{
		Use: "erase", Short: "Take a session, or all of a subject, out of the archive for ever", Args: usageArgs(cobra.NoArgs),
		Long: "Take a session, or all sessions of a subject, out of the archive for ever. What else is in the same batches is written\n" +
			"anew first. Sessions that the mesh still has are erased there first, by `skein sessions erase`, or they may come again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return &usageError{errors.New("this cannot be undone: say --yes")}
			}
			v, err := s.openNamed()
			if err != nil {
				return err
			}
			defer v.Close()
			n, err := v.EraseArchived(cmd.Context(), skein.SessionID(s.session), skein.Subject(s.subject))
			if err != nil {
				return fmt.Errorf("archive erase: after %d: %w", n, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d copies of sessions were erased\n", n)
			return err
		},
	}
	s.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "erase")
	return cmd
}
