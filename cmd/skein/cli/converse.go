package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/dev"
)

// maxInput bounds one line that is typed, in bytes.
const maxInput = 64 << 10

const chatHelp = `/node     where you are connected
/history  what the session holds
/trace    how the last turn was answered
/kill     kill the node that answered last (dev only)
/quit     end`

// last is what /trace and /kill are about.
type last struct {
	turn  skein.TurnID
	reply client.Reply
}

// converse reads lines until the input or ctx ends.
func (c *chat) converse(ctx context.Context, in io.Reader) error {
	prompt := isTerminal(in) && isTerminal(c.out)
	c.dim = prompt
	c.note("session %s, connected to %s; /help lists the commands", c.sess.ID(), place(c.sess.Node()))
	lines, fault := readLines(ctx, in)
	var before last
	if prompt {
		defer c.note("`skein chat --session %s` goes on with this session", c.sess.ID())
	}
	c.prompt(prompt)
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(c.out)
			return nil
		case m := <-c.moves: // while nothing is asked
			if prompt {
				fmt.Fprintln(c.out)
			}
			c.reportMove(m)
			c.prompt(prompt)
		case line, ok := <-lines:
			if !ok {
				if prompt {
					fmt.Fprintln(c.out) // behind the prompt
				}
				return <-fault
			}
			line = strings.TrimSpace(line)
			if line == "/quit" || line == "/exit" {
				return nil
			}
			c.line(ctx, line, &before)
			c.prompt(prompt)
		}
	}
}

func (c *chat) prompt(show bool) {
	if show {
		fmt.Fprint(c.out, "> ")
	}
}

// readLines reads on a goroutine of its own, since a read from a terminal cannot be cancelled; the goroutine ends
// with the input or at the next line after ctx has ended, and with the process at the latest.
func readLines(ctx context.Context, in io.Reader) (<-chan string, <-chan error) {
	lines, fault := make(chan string), make(chan error, 1) // fault: the one error of the reader
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, maxInput)
		for sc.Scan() {
			select {
			case lines <- sc.Text():
			case <-ctx.Done():
				fault <- nil
				return
			}
		}
		fault <- sc.Err()
	}()
	return lines, fault
}

// line handles one line; a fault of one turn does not end the conversation.
func (c *chat) line(ctx context.Context, line string, before *last) {
	var err error
	switch {
	case line == "":
	case line == "/help":
		fmt.Fprintln(c.out, chatHelp)
	case line == "/node":
		c.note("connected to %s", place(c.sess.Node()))
	case line == "/history":
		err = c.history(ctx)
	case line == "/trace":
		err = c.trace(ctx, *before)
	case line == "/kill":
		err = c.kill(ctx, *before)
	case strings.HasPrefix(line, "/"):
		c.note("there is no %s; /help lists the commands", line)
	default:
		err = c.say(ctx, line, before)
	}
	if err != nil && ctx.Err() == nil {
		c.note("%s", oneLine(err))
	}
	c.reportMoves()
}

// say runs one turn and prints the reply, where it came from and how long it took.
func (c *chat) say(ctx context.Context, text string, before *last) error {
	turn, err := c.sess.Send(ctx, text)
	if err != nil {
		return err
	}
	err = c.stream(ctx, turn)
	fmt.Fprintln(c.out)
	if err != nil {
		return err
	}
	r, err := turn.Reply(ctx)
	if err != nil {
		return err
	}
	*before = last{turn.ID(), r}
	attempts := ""
	if r.Attempts > 1 {
		attempts = fmt.Sprintf(", %d attempts", r.Attempts)
	}
	c.note("%s, %s/%s, %d ms%s", r.Node, r.Region, r.Zone, r.Latency.Milliseconds(), attempts)
	return nil
}

func (c *chat) reportMove(m client.Move) {
	if m.Took == 0 { // the old node had asked for it
		c.note("moved %s → %s", short(m.From), short(m.To))
		return
	}
	c.note("moved %s → %s in %d ms", short(m.From), short(m.To), m.Took.Milliseconds())
}

// reportMoves tells of the moves that a turn has seen.
func (c *chat) reportMoves() {
	for {
		select {
		case m := <-c.moves:
			c.reportMove(m)
		default:
			return
		}
	}
}

func (c *chat) kill(ctx context.Context, before last) error {
	node := before.reply.Via
	if node == "" {
		node = c.sess.Node().ID
	}
	if node == "" {
		return errors.New("no node has answered yet")
	}
	pid, err := dev.Kill(ctx, c.path, node)
	if err != nil {
		return err
	}
	c.note("killed %s (pid %d); go on talking", node, pid)
	return nil
}

func (c *chat) history(ctx context.Context) error {
	return c.events(ctx, func(e client.Event) { c.printEvent(e) })
}

// events calls each with the whole history, page by page.
func (c *chat) events(ctx context.Context, each func(client.Event)) error {
	after := skein.Seq(0)
	for {
		page, next, err := c.sess.History(ctx, after, 0)
		if err != nil {
			return err
		}
		for _, e := range page {
			each(e)
		}
		if next <= after {
			return nil
		}
		after = next
	}
}

func (c *chat) printEvent(e client.Event) {
	fmt.Fprintf(c.out, "%4d  %s  %-10s", e.Seq, e.At.Local().Format(time.TimeOnly), e.Kind)
	for _, detail := range []string{string(e.Where.Node), e.Tool, e.Source, printable(e.Text)} {
		if detail != "" {
			fmt.Fprintf(c.out, "  %s", detail)
		}
	}
	fmt.Fprintln(c.out)
}

func (c *chat) trace(ctx context.Context, before last) error {
	if before.turn.Counter == 0 {
		return errors.New("no turn yet")
	}
	r := before.reply
	c.note("turn %s: ran on %s (%s/%s) via %s, answered by %s, %d attempt(s), %.1f ms, sequence number %d",
		before.turn, r.Node, r.Region, r.Zone, r.Via, r.Source, r.Attempts, float64(r.Latency.Microseconds())/1000, r.Seq)
	return c.events(ctx, func(e client.Event) {
		if e.Turn == before.turn {
			c.printEvent(e)
		}
	})
}

// note prints what the assistant did not say.
func (c *chat) note(format string, args ...any) {
	text := "[" + fmt.Sprintf(format, args...) + "]"
	if c.dim {
		text = "\x1b[2m" + text + "\x1b[0m"
	}
	fmt.Fprintln(c.out, text)
}

func place(n client.Node) string {
	if n.ID == "" {
		return n.QUIC.String()
	}
	return fmt.Sprintf("%s (%s/%s) at %s", n.ID, n.Region, n.Zone, n.QUIC)
}

func short(n client.Node) string {
	if n.ID == "" {
		return n.QUIC.String()
	}
	return string(n.ID)
}

// printable drops control characters but line ends and tabs: a reply must not drive the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}
