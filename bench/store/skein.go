package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/session"
)

// skeinGroup is a region of three nodes in three zones whose group keeps sessions.
type skeinGroup struct {
	nodes    []*skeinNode
	atLeader *skeinNode // where all clients write; nil: client i writes at node i mod 3
	sessions []chat     // by client, each written by its client only
}

// chat is one client's session.
type chat struct {
	id  skein.SessionID
	seq skein.Seq // of its last event
}

const (
	skeinRegion    = skein.Region("eu")
	skeinSubject   = skein.Subject("bench")
	skeinAssistant = "shop"
	// The record of 512 bytes: a message, the reply to it, and what the assistant keeps.
	messageSize, replySize, memorySize = 128, recordSize - 128 - 32, 32
)

// startSkein starts three nodes and waits until each sees the others and one leads.
func startSkein(ctx context.Context, dir string, clients int, atLeader bool) (system, error) {
	ca, err := mesh.NewCA("bench")
	if err != nil {
		return nil, err
	}
	secret := make(mesh.Secret, 32)
	rand.Read(secret)
	s := &skeinGroup{sessions: make([]chat, clients)}
	var seeds []netip.AddrPort
	for i := range replicas {
		n, err := startSkeinNode(skeinPlace(i), skeinShared{dir: dir, ca: ca, secret: secret, seeds: seeds})
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.nodes = append(s.nodes, n)
		seeds = append(seeds, n.gossip)
	}
	if err := until(ctx, s.ready); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if atLeader {
		s.atLeader = s.leads()
	}
	return s, nil
}

// skeinPlace gives node i: one in each zone.
func skeinPlace(i int) skein.Place {
	zone := string(rune('a' + i))
	return skein.Place{Node: skein.NodeID("eu-" + zone + "-1"), Region: skeinRegion, Zone: skein.Zone(zone)}
}

func (s *skeinGroup) ready() error {
	for _, n := range s.nodes {
		if err := n.failed(); err != nil {
			return err
		}
		if got := len(n.mesh.Members()); got != replicas {
			return fmt.Errorf("%s sees %d nodes", n.place.Node, got)
		}
		if _, ok := n.group.Leader(); !ok {
			return fmt.Errorf("%s knows no leader", n.place.Node)
		}
	}
	if s.leads() == nil {
		return errors.New("nobody leads")
	}
	return nil
}

func (s *skeinGroup) leads() *skeinNode {
	for _, n := range s.nodes {
		if n.group.IsLeader() {
			return n
		}
	}
	return nil
}

// writer opens the client's session. A write is a turn that is accepted and completed in one command.
func (s *skeinGroup) writer(ctx context.Context, i int) (func(context.Context) error, error) {
	at := s.nodes[i%replicas]
	if s.atLeader != nil {
		at = s.atLeader
	}
	c := &s.sessions[i]
	c.id = skein.Session(skeinRegion, fmt.Sprintf("client%d", i))
	propose := func(ctx context.Context, cmd session.Command) error {
		results, err := at.group.Propose(ctx, cmd)
		if err != nil {
			return err
		}
		if results[0].Err != nil {
			return results[0].Err
		}
		c.seq = results[0].State.Seq
		return nil
	}
	open := session.Open{Subject: skeinSubject, Assistant: skeinAssistant, Home: skeinRegion}
	if err := propose(ctx, session.Command{Session: c.id, At: time.Now(), Body: open}); err != nil {
		return nil, err
	}
	turn := session.Accept{
		Turn: skein.TurnID{Client: "bench"}, Subject: skeinSubject, Text: text(messageSize),
		Runner: skein.Runner{Node: at.place.Node, Incarnation: 1}, Place: at.place,
		Reply: &session.Reply{Text: text(replySize), Memory: []byte(text(memorySize)), Source: "faq:hours"},
	}
	return func(ctx context.Context) error {
		turn.Turn.Counter++
		return propose(ctx, session.Command{Session: c.id, Expect: c.seq, At: time.Now(), Body: turn})
	}, nil
}

// count adds up the completed turns of all sessions, each read at another node than the one that wrote it.
func (s *skeinGroup) count(ctx context.Context) (int, error) {
	total := 0
	for i, c := range s.sessions {
		st, err := s.nodes[(i+1)%replicas].group.Read(ctx, c.id, c.seq-1)
		if err != nil {
			return 0, fmt.Errorf("session %s: %w", c.id, err)
		}
		total += int(st.Count)
	}
	return total, nil
}

func (s *skeinGroup) leader(context.Context) string {
	n := s.leads()
	if n == nil {
		return "nobody"
	}
	return fmt.Sprintf("%s in term %d", n.place.Node, n.group.Status().Term)
}

// stop ends the groups first, all at once, since they need the mesh to the end.
func (s *skeinGroup) stop() error {
	var errs []error
	for _, stage := range []func(*skeinNode) *stage{
		func(n *skeinNode) *stage { return n.replica },
		func(n *skeinNode) *stage { return n.member },
		func(n *skeinNode) *stage { return n.wire },
	} {
		for _, n := range s.nodes {
			stage(n).cancel()
		}
		for _, n := range s.nodes {
			<-stage(n).done
			errs = append(errs, stage(n).err)
		}
	}
	return errors.Join(errs...)
}
