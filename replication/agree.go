package replication

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/skein-mesh/skein"
)

const (
	agreeEvery  = 100 * time.Millisecond // while this node has nothing stored
	agreeSlowly = 5 * time.Second        // afterwards
)

// division is what one node answers. settled says that it holds something of the region, so that the number stands.
type division struct {
	groups  int
	settled bool
}

// agree compares the number of groups with those that the others have. Nodes that differ do not reach each other's
// groups, whatever happens; this says why. It ends with an error when this node is the one that has to change.
func (r *Region) agree(ctx context.Context) error {
	asked := map[skein.NodeID]bool{} // that answered once; a number does not change while a node runs
	for {
		own := r.division()
		for _, c := range r.cfg.Peers.Candidates() {
			if c.Node == r.cfg.Node || c.Gone || asked[c.Node] {
				continue
			}
			theirs, err := r.askGroups(ctx, c.Node)
			if err != nil {
				continue // it is asked again
			}
			asked[c.Node] = theirs.settled || theirs.groups == own.groups
			switch {
			case theirs.groups == own.groups:
			case theirs.settled && !own.settled:
				return wrongGroups("node "+string(c.Node), theirs.groups, own.groups)
			default:
				r.log.Warn("another node divides the region into another number of groups: the two do not work together",
					"peer", c.Node, "groups", theirs.groups, "here", own.groups)
			}
		}
		pause := agreeEvery
		if own.settled {
			pause = agreeSlowly
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Region) division() division {
	d := division{groups: len(r.groups)}
	for _, g := range r.groups {
		if x := g.raft.Load(); x != nil && (x.LastIndex() > 0 || x.CurrentTerm() > 0) {
			d.settled = true
		}
	}
	return d
}

// A division travels as two bytes: the number, and 1 for one that is settled.

func (r *Region) tellGroups(_ context.Context, _ skein.NodeID, conn net.Conn) {
	d := r.division()
	answer := []byte{byte(d.groups), 0}
	if d.settled {
		answer[1] = 1
	}
	conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	conn.Write(answer) //nolint:errcheck // who did not get it asks again
}

func (r *Region) askGroups(ctx context.Context, node skein.NodeID) (division, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := r.cfg.Peers.Dial(ctx, node, serviceGroups)
	if err != nil {
		return division{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var answer [2]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return division{}, fmt.Errorf("ask %s for its groups: %w", node, err)
	}
	return readDivision(answer)
}

func readDivision(answer [2]byte) (division, error) {
	if answer[0] < 1 || answer[0] > MaxGroups || answer[1] > 1 {
		return division{}, skein.Fault(skein.CodeMalformed, "groups %d, settled %d", answer[0], answer[1])
	}
	return division{int(answer[0]), answer[1] == 1}, nil
}
