package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/dev"
	"github.com/skein-mesh/skein/gateway"
)

func tokenCommand() *cobra.Command {
	var mesh meshFlag
	var key, subject, audience string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "token", Short: "Sign a bearer token for a client", Args: knownCommand,
		Long: "Sign a bearer token (JWT, EdDSA) and print it. Without --key the token.key beside mesh.json signs, which a dev mesh has.\n" +
			"Nodes take a token for 30 s past its end, since clocks differ; one with --lifetime 1s works for about half a minute.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lifetime < time.Second {
				return &usageError{fmt.Errorf("--lifetime %s: want at least 1s", lifetime)}
			}
			if key == "" || audience == "" {
				m, path, err := mesh.find()
				if err != nil {
					return fmt.Errorf("token: give --key and --audience, or a mesh: %w", err)
				}
				if key == "" {
					key = filepath.Join(filepath.Dir(path), "token.key")
				}
				if audience == "" {
					audience = m.Service
				}
			}
			signer, err := dev.ReadTokenKey(key)
			if err != nil {
				return err
			}
			token, err := gateway.SignToken(signer, gateway.Claims{Subject: skein.Subject(subject), Audience: audience,
				Expires: time.Now().Add(lifetime).Truncate(time.Second)})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	mesh.register(cmd)
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "Ed25519 private key (PKCS #8 PEM) that signs")
	f.StringVar(&subject, "subject", "dev", "whom the token speaks for; sessions belong to their subject")
	f.StringVar(&audience, "audience", "", "service name of the mesh")
	f.DurationVar(&lifetime, "lifetime", 30*24*time.Hour, "how long it is valid")
	cmd.AddCommand(tokenKeyCommand())
	return cmd
}

func tokenKeyCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "key", Short: "Make the key pair of tokens: token.key signs, token.pub goes to every node", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("token key: %w", err)
			}
			for _, name := range []string{"token.key", "token.pub"} {
				if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
					return fmt.Errorf("%s exists already; move it away or choose another directory", filepath.Join(dir, name))
				}
			}
			if err := dev.NewTokenKey(dir); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", filepath.Join(dir, "token.key"), filepath.Join(dir, "token.pub"))
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "where to put them")
	return cmd
}
