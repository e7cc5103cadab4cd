package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// chat is one run of `skein chat`.
type chat struct {
	mesh      meshFlag
	region    string
	name      string // of the session; empty: a new one
	assistant string
	text      string
	asJSON    bool

	path   string // of mesh.json
	client *client.Client
	sess   *client.Session
	memory *memory
	out    io.Writer
	dim    bool // the terminal can show secondary text in grey

	moves chan client.Move // from the client's goroutine; what nobody reads past its room is dropped
}

// turnLine is the answer of `skein chat -m TEXT --json`.
type turnLine struct {
	Session  skein.SessionID `json:"session"`
	Turn     string          `json:"turn"`
	Node     skein.NodeID    `json:"node"` // where the turn ran
	Region   skein.Region    `json:"region"`
	Zone     skein.Zone      `json:"zone"`
	Via      skein.NodeID    `json:"via"` // its gateway
	Reply    string          `json:"reply"`
	Latency  float64         `json:"latency_ms"`
	Attempts int             `json:"attempts"`
}

func chatCommand() *cobra.Command {
	var c chat
	cmd := &cobra.Command{
		Use: "chat", Short: "Talk to the assistant", Args: usageArgs(cobra.NoArgs),
		Long: "Talk to the assistant in the terminal, or send one message with -m. A session is opened at its first use, in the\n" +
			"nearest region or in --region; its name finds it again from then on, also through another node.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			oneShot := cmd.Flags().Changed("message")
			if c.asJSON && !oneShot {
				return &usageError{errors.New("--json needs -m TEXT")}
			}
			if oneShot && c.text == "" {
				return &usageError{errors.New("-m: the message is empty")}
			}
			c.out = cmd.OutOrStdout()
			if err := c.open(cmd.Context()); err != nil {
				return err
			}
			defer c.close()
			if oneShot {
				return c.once(cmd.Context())
			}
			return c.converse(cmd.Context(), cmd.InOrStdin())
		},
	}
	c.mesh.register(cmd)
	f := cmd.Flags()
	f.StringVar(&c.region, "region", "", "connect to a node of this region")
	completeRegion(cmd, &c.mesh)
	f.StringVar(&c.name, "session", "", "name or full id of the session (default a new one)")
	f.StringVar(&c.assistant, "assistant", "", "assistant of a new session (default the mesh's)")
	f.StringVarP(&c.text, "message", "m", "", "send one message, print the reply and end")
	f.BoolVar(&c.asJSON, "json", false, "with -m: print one line of JSON")
	return cmd
}

// open connects and opens the session.
func (c *chat) open(ctx context.Context) error {
	m, path, err := c.mesh.read()
	if err != nil {
		return err
	}
	c.path, c.moves = path, make(chan client.Move, 64)
	cfg, err := clientConfig(m, skein.Region(c.region))
	if err != nil {
		return err
	}
	if c.name == "" {
		c.name = skein.RandomName()
	}
	if c.memory, err = recall(m, c.name); err != nil {
		return err
	}
	cfg.Instance, cfg.OnMove = c.memory.Client, c.moved
	name := c.name
	switch region, _ := skein.SessionID(name).Split(); {
	case region != "":
	case c.memory.Session != "":
		name = string(c.memory.Session)
	case c.region != "":
		name = string(skein.Session(skein.Region(c.region), name))
	}
	if c.client, err = client.Dial(ctx, cfg); err == nil {
		c.sess, err = c.client.Open(ctx, name, client.Options{Assistant: c.assistant})
	}
	if err == nil {
		err = c.memory.opened(c.sess.ID())
	}
	if err != nil {
		c.close()
	}
	if skein.CodeOf(err) == skein.CodeUnauthenticated {
		err = fmt.Errorf("%w: the token is in %s, `skein token` signs another", err, m.TokenFile)
	}
	return err
}

func recall(m *meshfile.File, name string) (*memory, error) {
	state, err := meshfile.StateDir()
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(m.CAFile)
	if err != nil {
		return nil, fmt.Errorf("CA of the mesh: %w", err)
	}
	return remember(state, ca, name)
}

func (c *chat) close() {
	if c.client != nil {
		c.client.Close()
	}
	c.memory.close()
}

// once sends one message.
func (c *chat) once(ctx context.Context) error {
	turn, err := c.sess.Send(ctx, c.text)
	if err != nil {
		return err
	}
	if !c.asJSON {
		if err := c.stream(ctx, turn); err != nil {
			return err
		}
		_, err := fmt.Fprintln(c.out)
		return err
	}
	r, err := turn.Reply(ctx)
	if err != nil {
		return err
	}
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(turnLine{Session: c.sess.ID(), Turn: turn.ID().String(), Node: r.Node, Region: r.Region, Zone: r.Zone, Via: r.Via,
		Reply: r.Text, Latency: float64(r.Latency.Microseconds()) / 1000, Attempts: r.Attempts})
}

// stream prints the pieces of a reply as they come.
func (c *chat) stream(ctx context.Context, turn *client.Turn) error {
	for {
		p, err := turn.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c.out, printable(p.Text)); err != nil {
			return err
		}
	}
}

func (c *chat) moved(m client.Move) {
	select {
	case c.moves <- m:
	default:
	}
}

// isTerminal reports whether f is a terminal, and so wants a prompt.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
