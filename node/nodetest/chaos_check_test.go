package nodetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// history reads all kept events of a session from one node.
func (m *Mesh) history(p *Process, id skein.SessionID) ([]session.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out []session.Event
	after := skein.Seq(0)
	for {
		page, err := p.node.Region().History(ctx, id, after, 500)
		if err != nil || len(page) == 0 {
			return out, err
		}
		out = append(out, page...)
		after = page[len(page)-1].Seq
	}
}

// record is what the log says of one turn.
type record struct {
	text            string
	accepted, done  int
	attempts        int
	reply           string
	dead            string
	intents, effect map[string]int
}

// audit reads a session's history and checks what holds for it alone.
func audit(events []session.Event) (map[skein.TurnID]*record, []string) {
	var faults []string
	turns := make(map[skein.TurnID]*record)
	var open skein.TurnID
	last := skein.Seq(0)
	for _, ev := range events {
		if ev.Seq <= last {
			faults = append(faults, fmt.Sprintf("event %d behind %d", ev.Seq, last))
		}
		last = ev.Seq
		if ev.Kind == session.Opened {
			continue
		}
		r := turns[ev.Turn]
		if r == nil {
			r = &record{intents: map[string]int{}, effect: map[string]int{}}
			turns[ev.Turn] = r
		}
		switch ev.Kind {
		case session.Accepted:
			if open != (skein.TurnID{}) {
				faults = append(faults, fmt.Sprintf("turn %s was accepted while %s was open", ev.Turn, open))
			}
			open = ev.Turn
			r.accepted++
			r.text = ev.Text
		case session.Started:
			r.attempts++
		case session.Intended:
			r.intents[ev.Call.ID]++
		case session.Happened:
			r.effect[ev.Call.ID]++
		case session.Done:
			open = skein.TurnID{}
			r.done++
			r.reply = ev.Text
		case session.Died:
			open = skein.TurnID{}
			r.dead = ev.Text
		}
	}
	if open != (skein.TurnID{}) {
		faults = append(faults, fmt.Sprintf("turn %s is open at the end", open))
	}
	for id, r := range turns {
		if r.accepted != 1 || r.done != 1 || r.dead != "" {
			faults = append(faults, fmt.Sprintf("turn %s: accepted %d times, completed %d times, dead %q", id, r.accepted, r.done, r.dead))
		}
		for call, n := range r.intents {
			if n != 1 || r.effect[call] != 1 {
				faults = append(faults, fmt.Sprintf("turn %s: call %s has %d intents and %d outcomes", id, call, n, r.effect[call]))
			}
		}
	}
	return turns, faults
}

// check compares what the talkers saw with the log as every node tells it. A turn whose client has gone may be taken in
// late, and a node that was just taken out of the group tells an old story for a second: both get some time.
func (m *Mesh) check(t *testing.T, talkers []*talker) {
	t.Helper()
	var faults []string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		faults = m.compare(talkers)
		if len(faults) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, f := range faults {
		t.Error(f)
	}
}

func (m *Mesh) compare(talkers []*talker) (faults []string) {
	note := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	logs := make(map[skein.SessionID]map[skein.TurnID]*record)
	for _, k := range talkers {
		faults = append(faults, k.faults...)
		id := skein.Session("eu", k.name)
		if logs[id] != nil || len(k.turns) == 0 {
			continue
		}
		for _, p := range m.Running() {
			events, err := m.history(p, id)
			if err != nil {
				note("%s: history at %s (%s): %v", id, p.ID, p.node.Region().Of(id).Status().Role, err)
				continue
			}
			turns, wrong := audit(events)
			for _, f := range wrong {
				note("%s at %s (%s): %s", id, p.ID, p.node.Region().Of(id).Status().Role, f)
			}
			logs[id] = turns
		}
	}
	for _, k := range talkers {
		for _, w := range k.turns {
			if f := w.compare(logs[skein.Session("eu", k.name)][w.id]); f != "" {
				note("%s: turn %s %q: %s", k.name, w.id, w.text, f)
			}
		}
	}
	return faults
}

// compare holds one turn against what the log says of it.
func (w *said) compare(r *record) string {
	seen := w.pieces.String()
	switch {
	case r == nil && w.acked:
		return "was acknowledged and is not in the log"
	case r == nil:
		return ""
	case r.text != w.text:
		return fmt.Sprintf("the log has the message %q", r.text)
	case w.whole && (seen != r.reply || w.reply.Text != r.reply):
		return fmt.Sprintf("pieces %q, reply %q, log %q", seen, w.reply.Text, r.reply)
	case !strings.HasPrefix(r.reply, seen):
		return fmt.Sprintf("pieces %q are no beginning of %q", seen, r.reply)
	case w.want != "" && r.reply != w.want:
		return fmt.Sprintf("got %q, want %q", r.reply, w.want)
	case !strings.Contains(r.reply, w.has):
		return fmt.Sprintf("got %q without %s", r.reply, w.has)
	}
	return ""
}
