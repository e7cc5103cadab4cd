package node

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// exchangeTimeout bounds one question and its answer between nodes; giveTimeout the wait for a runner, after which the
// turn goes to another one.
const (
	exchangeTimeout = 3 * time.Second
	giveTimeout     = 1500 * time.Millisecond
)

// exchange asks another node one question over a stream of its own.
func (n *Node) exchange(ctx context.Context, node skein.NodeID, service string, ask, answer proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	conn, err := n.mesh.Dial(ctx, node, service)
	if err != nil {
		return fmt.Errorf("ask %s: %w", node, err)
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		conn.SetDeadline(at)
	}
	if err := wire.WriteFrame(conn, ask); err != nil {
		return fmt.Errorf("ask %s: %w", node, err)
	}
	if err := wire.ReadFrame(bufio.NewReader(conn), answer, wire.MaxServerFrame); err != nil {
		return fmt.Errorf("ask %s: %w", node, err)
	}
	return nil
}

// answerOne reads one question and writes what f makes of it. A question that cannot be read gets no answer, and is
// an error.
func answerOne(conn net.Conn, ask proto.Message, f func() proto.Message) error {
	conn.SetDeadline(time.Now().Add(exchangeTimeout))
	if err := wire.ReadFrame(bufio.NewReader(conn), ask, wire.MaxClientFrame); err != nil {
		return err
	}
	wire.WriteFrame(conn, f()) //nolint:errcheck // the asker has gone; it asks again
	return nil
}

// handleRun begins the attempts that the leader of a session's group gives to this node.
func (n *Node) handleRun(ctx context.Context, _ skein.NodeID, conn net.Conn) {
	var ask wire.RunRequest
	err := answerOne(conn, &ask, func() proto.Message {
		ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
		defer cancel()
		err := n.desk.Adopt(ctx, skein.SessionID(ask.Session), skein.Seq(ask.Seq))
		if err == nil {
			n.log.Info("runs a turn that another node has lost", "session", ask.Session)
		}
		return &wire.RunResponse{Error: wire.FromError(err)}
	})
	if skein.CodeOf(err) != skein.CodeInternal {
		n.badStream(serviceRun)
	}
}

// handleOrder drains this node, or ends that, for an operator who spoke to another node.
func (n *Node) handleOrder(_ context.Context, _ skein.NodeID, conn net.Conn) {
	var ask wire.Order
	err := answerOne(conn, &ask, func() proto.Message {
		n.SetDraining(ask.Draining)
		return &wire.OrderResponse{}
	})
	if skein.CodeOf(err) != skein.CodeInternal {
		n.badStream(serviceOrder)
	}
}

// giveRun tells a node that an attempt is its own now.
func (n *Node) giveRun(ctx context.Context, to skein.NodeID, id skein.SessionID, seq skein.Seq) error {
	if to == n.cfg.Node {
		return n.desk.Adopt(ctx, id, seq)
	}
	ctx, cancel := context.WithTimeout(ctx, giveTimeout)
	defer cancel()
	var answer wire.RunResponse
	if err := n.exchange(ctx, to, serviceRun, &wire.RunRequest{Session: string(id), Seq: uint64(seq)}, &answer); err != nil {
		return err
	}
	return answer.Error.Fault()
}

// order drains any node of the mesh.
func (n *Node) order(ctx context.Context, node skein.NodeID, draining bool) error {
	if node == n.cfg.Node {
		n.SetDraining(draining)
		return nil
	}
	if _, ok := n.mesh.Member(node); !ok {
		return skein.Fault(skein.CodeUnknownNode, "no node %q: see skein members", node)
	}
	var answer wire.OrderResponse
	if err := n.exchange(ctx, node, serviceOrder, &wire.Order{Draining: draining}, &answer); err != nil {
		return err
	}
	return answer.Error.Fault()
}
