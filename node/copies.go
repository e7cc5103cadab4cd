package node

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/wire"
)

// Copies of replicas travel on streams of their own.
const (
	serviceCopy = "copy"
	copyWait    = 10 * time.Second // for a replica to catch up, before another one is asked
	copySilence = time.Minute      // on a stream that brings a copy
	copyMaking  = time.Hour        // for a copy to be made, at the pace that turns leave to it; that a node dies the mesh notices
	maxCopies   = 2                // that this node gives at once: each takes disk
)

// handleCopy gives another node of the region a copy of a replica.
func (n *Node) handleCopy(ctx context.Context, _ skein.NodeID, conn net.Conn) {
	conn.SetDeadline(time.Now().Add(copyWait))
	var ask wire.CopyRequest
	if err := wire.ReadFrame(bufio.NewReader(conn), &ask, wire.MaxClientFrame); err != nil {
		n.badStream(serviceCopy)
		return
	}
	resp, copied := n.answerCopy(ctx, &ask)
	if copied != nil {
		defer copied.Close()
	}
	conn.SetDeadline(time.Now().Add(copySilence))
	if err := wire.WriteFrame(conn, resp); err != nil || copied == nil {
		return
	}
	if _, err := io.Copy(&patient{conn}, copied); err != nil {
		n.log.Info("a copy of a replica was not taken to its end", "group", ask.Group, "error", err)
	}
}

func (n *Node) answerCopy(ctx context.Context, ask *wire.CopyRequest) (*wire.CopyResponse, io.ReadCloser) {
	if ask.Reached {
		at, replicas, err := n.reachedHere(ctx, ask.Group)
		resp := &wire.CopyResponse{Error: wire.FromError(err), Index: at}
		for _, r := range replicas {
			resp.Replicas = append(resp.Replicas, string(r))
		}
		return resp, nil
	}
	part, r, err := n.copyHere(ctx, ask.Group, ask.After)
	if err != nil {
		return &wire.CopyResponse{Error: wire.FromError(err)}, nil
	}
	hash, _ := hex.DecodeString(part.Hash)
	return &wire.CopyResponse{
		Index: part.Index, Term: part.Term, Epoch: part.Epoch, Sessions: part.Sessions, Hash: hash, Size: part.Size,
	}, r
}

// patient moves the deadline of a stream on as bytes go.
type patient struct{ net.Conn }

func (p *patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(copySilence))
	return p.Conn.Write(b)
}

func (n *Node) groupNumber(group uint32) (*replication.Group, error) {
	groups := n.region.Groups()
	if int(group) >= len(groups) {
		return nil, skein.Fault(skein.CodeMalformed, "there is no group %d, only %d of them", group, len(groups))
	}
	return groups[group], nil
}

// reachedHere asks the local replica, which has to lead, what has been acknowledged, and who has replicas.
func (n *Node) reachedHere(ctx context.Context, group uint32) (uint64, []skein.NodeID, error) {
	g, err := n.groupNumber(group)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	at, err := g.Reached(ctx)
	st := g.Status()
	return at, append(st.Voters, st.Spares...), err
}

// copyHere takes a copy of the local replica.
func (n *Node) copyHere(ctx context.Context, group uint32, after uint64) (backup.Part, io.ReadCloser, error) {
	g, err := n.groupNumber(group)
	if err != nil {
		return backup.Part{}, nil, err
	}
	select {
	case n.copies <- struct{}{}:
	default:
		return backup.Part{}, nil, skein.Fault(skein.CodeOverloaded, "node %s gives %d copies already", n.cfg.Node, maxCopies)
	}
	wait, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	c, err := g.Copy(wait, after)
	if err != nil {
		<-n.copies
		return backup.Part{}, nil, err
	}
	part := backup.Part{
		Group: group, From: n.cfg.Node, Index: c.Index, Term: c.Term, Epoch: c.Epoch, Sessions: c.Sessions,
		Hash: hex.EncodeToString(c.Hash[:]), Size: c.Size,
	}
	return part, &counted{Copy: c, slots: n.copies}, nil
}

// counted is a copy that frees its slot.
type counted struct {
	*replication.Copy
	slots chan struct{}
}

func (c *counted) Close() error {
	<-c.slots
	return c.Copy.Close()
}

// copyOf gives a copy of a group that has all that was acknowledged before: of a follower that is well, else of the leader.
func (n *Node) copyOf(ctx context.Context, group uint32) (backup.Part, io.ReadCloser, error) {
	g, err := n.groupNumber(group)
	if err != nil {
		return backup.Part{}, nil, err
	}
	leader, ok := g.Leader()
	if !ok {
		return backup.Part{}, nil, skein.Fault(skein.CodeNoQuorum, "group %d has no leader that is heard here", group)
	}
	after, replicas, err := n.reached(ctx, leader, group)
	if err != nil {
		return backup.Part{}, nil, fmt.Errorf("ask %s: %w", leader, err)
	}
	var last error
	for _, node := range n.byHealth(replicas, leader) {
		part, r, err := n.copyFrom(ctx, node, group, after)
		if err == nil {
			return part, r, nil
		}
		n.log.Info("a replica gives no copy", "group", group, "peer", node, "error", err)
		last = errors.Join(last, fmt.Errorf("%s: %w", node, err))
	}
	return backup.Part{}, nil, fmt.Errorf("no replica gives a copy: %w", last)
}

// byHealth puts living followers first, this node before the others, and the leader behind them.
func (n *Node) byHealth(replicas []skein.NodeID, leader skein.NodeID) []skein.NodeID {
	cost := func(id skein.NodeID) int {
		switch m, ok := n.mesh.Member(id); {
		case !ok || m.Status != mesh.Alive:
			return 3
		case id == leader:
			return 2
		case id == n.cfg.Node:
			return 0
		}
		return 1
	}
	sorted := slices.Sorted(slices.Values(replicas))
	slices.SortStableFunc(sorted, func(a, b skein.NodeID) int { return cmp.Compare(cost(a), cost(b)) })
	return sorted
}

func (n *Node) reached(ctx context.Context, leader skein.NodeID, group uint32) (uint64, []skein.NodeID, error) {
	if leader == n.cfg.Node {
		return n.reachedHere(ctx, group)
	}
	resp, conn, err := n.askCopy(ctx, leader, &wire.CopyRequest{Group: group, Reached: true})
	if err != nil {
		return 0, nil, err
	}
	var replicas []skein.NodeID
	for _, r := range resp.Replicas {
		replicas = append(replicas, skein.NodeID(r))
	}
	return resp.Index, replicas, conn.Close()
}

func (n *Node) copyFrom(ctx context.Context, node skein.NodeID, group uint32, after uint64) (backup.Part, io.ReadCloser, error) {
	if node == n.cfg.Node {
		return n.copyHere(ctx, group, after)
	}
	resp, conn, err := n.askCopy(ctx, node, &wire.CopyRequest{Group: group, After: after})
	if err != nil {
		return backup.Part{}, nil, err
	}
	return backup.Part{
		Group: group, From: node, Index: resp.Index, Term: resp.Term, Epoch: resp.Epoch, Sessions: resp.Sessions,
		Hash: hex.EncodeToString(resp.Hash), Size: resp.Size,
	}, conn, nil
}

// askCopy asks a node and gives the stream behind its answer, which the caller closes.
func (n *Node) askCopy(ctx context.Context, node skein.NodeID, ask *wire.CopyRequest) (*wire.CopyResponse, io.ReadCloser, error) {
	dial, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	conn, err := n.mesh.Dial(dial, node, serviceCopy)
	if err != nil {
		return nil, nil, err
	}
	patience := 2 * copyWait
	if !ask.Reached {
		patience += copyMaking
	}
	conn.SetDeadline(time.Now().Add(patience))
	in := &incoming{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	in.stop = context.AfterFunc(ctx, func() { conn.Close() })
	resp := &wire.CopyResponse{}
	if err = wire.WriteFrame(conn, ask); err == nil {
		err = wire.ReadFrame(in.r, resp, wire.MaxServerFrame)
	}
	if err == nil {
		err = resp.Error.Fault()
	}
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return resp, in, nil
}

// incoming is a stream that brings a copy.
type incoming struct {
	conn net.Conn
	r    *bufio.Reader
	stop func() bool // of the watch over the context
}

func (i *incoming) Read(p []byte) (int, error) {
	i.conn.SetReadDeadline(time.Now().Add(copySilence))
	return i.r.Read(p)
}

func (i *incoming) Close() error {
	i.stop()
	return i.conn.Close()
}
