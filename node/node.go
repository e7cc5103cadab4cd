package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/gateway"
	"github.com/skein-mesh/skein/geo"
	"github.com/skein-mesh/skein/geo/geodns"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/telemetry"
	"github.com/skein-mesh/skein/turn"
)

// Node is one running agent.
type Node struct {
	cfg   Config
	log   *slog.Logger
	self  skein.Runner
	place skein.Place

	secrets *secrets
	sockets *sockets
	meters  *telemetry.Registry
	queries *telemetry.Histogram // of what subjects said

	socket  *mesh.Socket
	mesh    *mesh.Mesh
	region  *replication.Region
	desk    *turn.Desk
	answers *answers
	gateway *gateway.Gateway
	dns     *geodns.Server
	admin   *admin.Server
	backups *backups
	copies  chan struct{} // one token a copy that this node gives
	locator *geo.Locator
}

// Run builds the node and runs it until ctx ends, then stops it in order. An error that an operator can mend is one
// line that says what and how.
func Run(ctx context.Context, cfg Config) error {
	for {
		n, err := New(cfg)
		if err != nil {
			return err
		}
		if err = n.Run(ctx); !again(err) || ctx.Err() != nil { // how often is bounded by the directories that are set aside
			return err
		}
		n.log.Warn("the node starts again in this process", "why", err)
	}
}

// New opens files and sockets; nothing runs yet. After an error everything is closed again.
func New(cfg Config) (*Node, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Log, meters: telemetry.New(),
		place: skein.Place{Node: cfg.Node, Region: cfg.Region, Zone: cfg.Zone},
	}
	n.queries = n.meters.Histogram("skein_history_query_seconds", "Time of a page of what a subject said, asked at this node.", telemetry.Seconds())
	for _, step := range []func() error{n.openFiles, n.openSockets, n.openMesh, n.openRegion, n.openBackups, n.openDesk, n.openGateway, n.openDNS, n.openAdmin} {
		if err := step(); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

// close gives back what New opened, when Run will not.
func (n *Node) close() {
	if n.region != nil {
		if err := n.region.Close(); err != nil { // does nothing after Run
			n.log.Error("close the replicas", "error", err)
		}
	}
	n.sockets.close()
	n.secrets.close()
}

// stage is a set of rooms that start and stop together. The first that fails ends the node.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	failed chan<- error
	wg     sync.WaitGroup
}

func newStage(failed chan<- error) *stage {
	s := &stage{failed: failed}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *stage) run(name string, f func(context.Context) error) {
	s.wg.Go(func() {
		err := f(s.ctx)
		if s.ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		select {
		case s.failed <- fmt.Errorf("%s: %w", name, err):
		default: // the node is ending already
		}
	})
}

func (s *stage) stop() {
	s.cancel()
	s.wg.Wait()
}

// Run runs the node until ctx ends or a room fails.
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	failed := make(chan error, 1)
	base, group, work, front := newStage(failed), newStage(failed), newStage(failed), newStage(failed)
	base.run("socket", n.socket.Run)
	base.run("mesh", n.mesh.Run)
	group.run("group", n.region.Run)
	work.run("turns", n.desk.Run)
	work.run("failover", n.watch)
	work.run("assistant", n.answers.run)
	front.run("gateway", n.gateway.Run)
	front.run("admin", func(ctx context.Context) error { return n.admin.Run(ctx, n.sockets.adminConn) })
	front.run("load", n.reportLoad)
	front.run("backups", n.backups.run)
	front.run("archive", n.archive)
	if n.dns != nil {
		front.run("dns", n.dns.Run)
		front.run("dns answers", n.followDNS)
	}
	n.log.Info("node started", "region", n.cfg.Region, "zone", n.cfg.Zone, "incarnation", n.self.Incarnation,
		"client", n.sockets.client.String(), "service", n.cfg.Service)

	var err error
	select {
	case <-ctx.Done():
		n.drain()
	case err = <-failed:
		n.log.Error("node fails", "error", err)
	}
	front.stop()
	work.stop()
	n.answers.close()
	group.stop()
	n.leave()
	base.stop()
	n.log.Info("node stopped")
	return err
}

// drain sends the clients elsewhere and lets running turns end, for as long as Config.Drain.
func (n *Node) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.Drain)
	defer cancel()
	n.mesh.SetDraining(true)
	n.desk.SetDraining(true)
	n.gateway.Drain(ctx)
	if err := n.desk.Idle(ctx); err != nil {
		n.log.Info("turns are left to other nodes", "turns", n.desk.Running())
	}
}

func (n *Node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.mesh.Leave(ctx); err != nil {
		n.log.Info("left without saying so", "error", err)
	}
}

// SetDraining drains this node while it goes on running, or takes it back into service.
func (n *Node) SetDraining(on bool) {
	n.mesh.SetDraining(on)
	n.desk.SetDraining(on)
	n.gateway.SetDraining(on)
	n.log.Info("drain state set", "draining", on)
}

// Region is the node's part in the groups of its region; tests compare replicas by it.
func (n *Node) Region() *replication.Region { return n.region }

// Mesh is the node's view of the membership.
func (n *Node) Mesh() *mesh.Mesh { return n.mesh }
