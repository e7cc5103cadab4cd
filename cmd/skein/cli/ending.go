package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
)

// closeCommand is `skein sessions close`.
func closeCommand() *cobra.Command {
	var l listing
	var expect uint64
	cmd := &cobra.Command{
		Use: "close SESSION", Short: "Close a session: what was said can be read, a new turn needs a new session",
		Args: usageArgs(cobra.ExactArgs(1)), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := ""
			if expect > 0 {
				query = "?expect=" + strconv.FormatUint(expect, 10)
			}
			return endSession(cmd, &l, skein.SessionID(args[0]), "close"+query)
		},
	}
	l.register(cmd)
	cmd.Flags().Uint64Var(&expect, "expect", 0, "only while its sequence number is this; 0: any")
	return cmd
}

// eraseCommand is `skein sessions erase`.
func eraseCommand() *cobra.Command {
	var l listing
	var subject string
	var yes bool
	cmd := &cobra.Command{
		Use: "erase SESSION | --subject SUBJECT", Short: "Delete what a session said, or all sessions of a subject, for ever",
		Long: "Delete what a session said, or all sessions of a subject, at once and for ever: texts, tool calls, who it was of. A turn that\n" +
			"runs ends. The id stays, so that it is not used again. What backups and archives hold is not touched; see docs/retention.md.",
		Args: usageArgs(cobra.MaximumNArgs(1)), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (subject == "") == (len(args) == 0):
				return &usageError{errors.New("erase: name a SESSION, or --subject SUBJECT")}
			case !yes:
				return &usageError{errors.New("erase: nothing brings it back; add --yes")}
			case subject != "":
				return eraseSubject(cmd, &l, skein.Subject(subject))
			}
			return endSession(cmd, &l, skein.SessionID(args[0]), "erase")
		},
	}
	l.register(cmd)
	cmd.Flags().StringVar(&subject, "subject", "", "all sessions of this subject, in all regions")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

func endSession(cmd *cobra.Command, l *listing, id skein.SessionID, order string) error {
	if err := id.Validate(); err != nil {
		return &usageError{err}
	}
	o, err := l.operator()
	if err != nil {
		return err
	}
	region, _ := id.Split()
	var done admin.Ended
	if err := o.order(cmd.Context(), inRegion(region), "/v1/sessions/"+url.PathEscape(string(id))+"/"+order, &done); err != nil {
		return fmt.Errorf("sessions: %s: %w", id, err)
	}
	if l.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
	}
	was := ""
	if done.Known {
		was = ", as it was before"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s%s\n", done.Session, done.Phase, was)
	return err
}

// eraseSubject gives the order in every region; one that does not answer has to be told again.
func eraseSubject(cmd *cobra.Command, l *listing, subject skein.Subject) error {
	o, err := l.operator()
	if err != nil {
		return err
	}
	answers, faults := askRegions(o.regions(), func(r skein.Region) (admin.Erased, error) {
		var done admin.Erased
		err := o.order(cmd.Context(), inRegion(r), "/v1/subjects/"+url.PathEscape(string(subject))+"/erase", &done)
		return done, err
	})
	all := admin.Erased{Subject: subject}
	for _, done := range answers {
		all.Sessions += done.Sessions
	}
	if l.asJSON {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(all)
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d sessions of %s are erased\n", all.Sessions, oneCell(string(subject), shownText))
	}
	if len(faults) > 0 {
		return fmt.Errorf("erase: not in all regions, give the order again: %w", errors.Join(faults...))
	}
	return err
}
