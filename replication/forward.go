package replication

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

const (
	askTimeout = 500 * time.Millisecond // for one node to say who leads
	askMost    = 5                      // nodes asked in one search
)

// forward proposes through the leader. It may give fewer results than there are commands, those of the first
// ones, when more do not fit a frame.
func (g *Group) forward(ctx context.Context, a *attempted) ([]session.Result, error) {
	changed := g.LeaderChanged()
	leader, err := g.findLeader(ctx)
	if err != nil {
		return nil, err
	}
	req := request{id: g.links.ids.Add(1), commands: a.encoded, known: make([]skein.Seq, len(a.commands))}
	a.held = make([]*session.State, len(a.commands))
	for i := range a.commands {
		if st := g.held.get(a.commands[i].Session); st != nil {
			a.held[i], req.known[i] = st, st.Seq
		}
	}
	body, err := g.links.call(ctx, linkKey{leader, streamProposals}, call{req.id, req.appendTo}, changed)
	if err != nil {
		return nil, g.unanswered(ctx, leader, err)
	}
	resp := &wire.ProposeResponse{}
	if err := resp.UnmarshalVT(body); err != nil {
		return nil, errors.Join(errUnknown, errFrame)
	}
	if err := resp.Error.Fault(); err != nil {
		g.redirected(leader, skein.NodeID(resp.Leader), err)
		return nil, err
	}
	if len(resp.Results) == 0 || len(resp.Results) > len(a.commands) {
		return nil, fmt.Errorf("%w: %s answered %d results for %d commands", errUnknown, leader, len(resp.Results), len(a.commands))
	}
	results := make([]session.Result, len(resp.Results))
	for i, w := range resp.Results {
		if results[i], err = g.step(ctx, a, i, w); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// unanswered sorts the error of a call into a definite no, which may be retried, and unknown. A caller that gave up
// says nothing about the node asked: only search finds out a leader that no longer answers.
func (g *Group) unanswered(ctx context.Context, asked skein.NodeID, err error) error {
	if errors.Is(err, skein.ErrOverloaded) {
		return err
	}
	if ctx.Err() == nil && !errors.Is(err, errAbandoned) {
		g.redirected(asked, "", skein.ErrNoQuorum)
	}
	if errors.Is(err, errUnreached) {
		return errors.Join(errNotLeader, err)
	}
	return errors.Join(errUnknown, err)
}

// redirected takes in that the node asked does not lead, and what it said instead.
func (g *Group) redirected(asked, leader skein.NodeID, err error) {
	if !errors.Is(err, skein.ErrNoQuorum) || leader == asked {
		return
	}
	g.lead.correct(asked, leader)
}

// findLeader gives another node that leads, and looks for one when none is known.
func (g *Group) findLeader(ctx context.Context) (skein.NodeID, error) {
	leader := g.lead.leader()
	if leader == "" {
		g.ask(ctx)
		leader = g.lead.leader()
	}
	if leader == "" || leader == g.cfg.Node {
		return "", fmt.Errorf("%w, and knows nobody who does", errNotLeader)
	}
	return leader, nil
}

// ask asks nodes who leads until one knows. One search runs at a time; others go on without.
func (g *Group) ask(ctx context.Context) {
	select {
	case g.asking <- struct{}{}:
		defer func() { <-g.asking }()
	default:
		return
	}
	known := g.lead.leader()
	for _, node := range g.whom(known) {
		one, cancel := context.WithTimeout(ctx, askTimeout)
		req, resp := request{id: g.links.ids.Add(1)}, &wire.ProposeResponse{}
		body, err := g.links.call(one, linkKey{node, streamProposals}, call{req.id, req.appendTo}, g.closing)
		cancel()
		if err == nil && proto.Unmarshal(body, resp) == nil && resp.Leader != "" {
			g.lead.suggest(skein.NodeID(resp.Leader))
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
	g.lead.correct(known, "")
}

// whom lists nodes to ask: the one that led, then others in random order.
func (g *Group) whom(known skein.NodeID) []skein.NodeID {
	var others []skein.NodeID
	for _, c := range g.cfg.Peers.Candidates() {
		if c.Node != g.cfg.Node && c.Node != known && !c.Gone {
			others = append(others, c.Node)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if known != "" && known != g.cfg.Node {
		others = append([]skein.NodeID{known}, others...)
	}
	return others[:min(askMost, len(others))]
}

// correct replaces the hint if it is still the node that turned out not to lead.
func (l *leadership) correct(wrong, right skein.NodeID) {
	l.set(func() {
		if l.hint == wrong || l.hint == "" {
			l.hint = right
			if right != "" {
				l.heard = time.Now()
			}
		}
	})
}

// remaining gives the time that ctx leaves, in milliseconds, 0 when it sets no end.
func remaining(ctx context.Context) int64 {
	end, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(end).Milliseconds(), 1)
}
