package mesh

import (
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein"
)

// The methods below are memberlist's callbacks. Some run under its lock, so none calls back into it and none
// blocks: they change the view and leave work to the loops.

// NodeMeta gives this node's metadata, which was measured in New.
func (p *pool) NodeMeta(int) []byte { return *p.mesh.meta.Load() }

// NotifyMsg takes a message of another node.
func (p *pool) NotifyMsg(msg []byte) {
	d, n, err := decodeGossip(msg)
	p.mesh.counts.messages.Inc()
	switch {
	case err != nil:
		p.mesh.counts.badMessage.Inc()
		p.mesh.log.Debug("gossip message", "pool", p.name(), "err", err)
	case d != nil:
		p.mesh.heardDigest(*d)
	case n != nil && !p.global:
		p.mesh.heardNotice(*n)
	}
}

// GetBroadcasts gives messages that wait.
func (p *pool) GetBroadcasts(overhead, limit int) [][]byte {
	return p.queue.GetBroadcasts(overhead, limit)
}

// LocalState tells a joining node of all other regions, and other regions of this one.
func (p *pool) LocalState(bool) []byte { return encodeState(p.mesh.state(p.global)) }

// MergeRemoteState takes what LocalState gave elsewhere.
func (p *pool) MergeRemoteState(buf []byte, _ bool) {
	list, err := decodeState(buf)
	if err != nil {
		p.mesh.counts.badState.Inc()
		p.mesh.log.Debug("gossip state", "pool", p.name(), "err", err)
	}
	for _, d := range list {
		p.mesh.heardDigest(d)
	}
}

// NotifyAlive refuses a peer that does not describe itself, or that is of another region.
func (p *pool) NotifyAlive(n *memberlist.Node) error {
	m, err := decodeMeta(n.Name, n.Meta)
	if err != nil {
		p.mesh.counts.badMeta.Inc()
		return err
	}
	if self := p.mesh.config.Self; !p.global && m.Region != self.Region {
		p.mesh.counts.badMeta.Inc()
		return skein.Fault(skein.CodeRefused, "node %s of region %s in the pool of %s", m.Node, m.Region, self.Region)
	}
	return nil
}

// NotifyJoin takes a member that is new, or back from the dead.
func (p *pool) NotifyJoin(n *memberlist.Node) {
	p.size.Add(1)
	p.describe(n, true)
}

// NotifyUpdate takes new metadata.
func (p *pool) NotifyUpdate(n *memberlist.Node) { p.describe(n, false) }

// NotifyConflict takes a member that appears at another address while its old one is not dead yet.
func (p *pool) NotifyConflict(existing, other *memberlist.Node) {
	old, err := decodeMeta(existing.Name, existing.Meta)
	m, err2 := decodeMeta(other.Name, other.Meta)
	if err != nil || err2 != nil || m.Incarnation <= old.Incarnation {
		p.mesh.log.Warn("two nodes use one name", "node", other.Name, "addr", other.Address(), "other", existing.Address())
		return
	}
	p.describe(other, true)
}

// NotifyLeave takes a member that gossip found silent, or that left; the notice of leaving says which.
func (p *pool) NotifyLeave(n *memberlist.Node) {
	p.size.Add(-1)
	m, err := decodeMeta(n.Name, n.Meta)
	if err != nil {
		return
	}
	p.locate(m.Node, n.Address(), false)
	p.mesh.update(func(v *view, now time.Time) {
		if p.global {
			m.Status = Dead
			p.mesh.version++
			v.witnessed(m, stamp{p.mesh.config.Self.Incarnation, p.mesh.version}, now)
			return
		}
		v.silent(m.Runner(), now)
	})
}

func (p *pool) describe(n *memberlist.Node, revived bool) {
	m, err := decodeMeta(n.Name, n.Meta)
	if err != nil {
		return
	}
	p.locate(m.Node, n.Address(), true)
	if m.Node == p.mesh.config.Self.Node {
		return
	}
	p.mesh.update(func(v *view, now time.Time) {
		if p.global {
			p.mesh.version++
			v.witnessed(m, stamp{p.mesh.config.Self.Incarnation, p.mesh.version}, now)
			return
		}
		v.gossiped(m, revived, now)
	})
	p.mesh.askNew()
}

// locate notes where gossip to a member goes.
func (p *pool) locate(id skein.NodeID, addr string, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == p.mesh.config.Self.Node {
		p.self = addr
		return
	}
	if _, ok := p.known[id]; ok || len(p.known) < maxMembers {
		p.known[id] = target{addr: addr, alive: alive}
	}
}
