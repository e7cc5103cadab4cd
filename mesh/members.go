package mesh

import (
	"context"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
)

// Self gives this node as the others are told.
func (m *Mesh) Self() Member {
	self, _ := m.Member(m.config.Self.Node)
	return self
}

// Members gives all members of all regions, this node included, sorted by Node. Dead and left ones stay for ten
// minutes. The slice is shared: do not change it.
func (m *Mesh) Members() []Member { return m.snapshot.Load().members }

// Member gives one member.
func (m *Mesh) Member(id skein.NodeID) (Member, bool) {
	s := m.snapshot.Load()
	i, ok := s.byNode[id]
	if !ok {
		return Member{}, false
	}
	return s.members[i], true
}

// Changed gives a channel that is closed at the next change of Members. Take it before reading Members.
func (m *Mesh) Changed() <-chan struct{} { return m.snapshot.Load().changed }

// SetDraining tells the others whether this node takes new turns.
func (m *Mesh) SetDraining(on bool) { m.setSelf(func(s *Member) { s.Draining = on }) }

// SetVoter tells the others whether this node votes in a group of its region; a voter also takes part in the pool
// across regions.
func (m *Mesh) SetVoter(on bool) { m.setSelf(func(s *Member) { s.Voter = on }) }

// SetLoad tells the others how busy this node is, 0 to 1. Small changes travel late.
func (m *Mesh) SetLoad(load float32) { m.setSelf(func(s *Member) { s.Load = clampLoad(load) }) }

// SetLeaders names the leaders of the region's groups, which get a tether too. The list is the mesh's from then on.
func (m *Mesh) SetLeaders(ids []skein.NodeID) {
	if was := m.leaders.Swap(&ids); was == nil || !slices.Equal(*was, ids) {
		kick(m.retether)
	}
}

// setSelf changes what this node says about itself, and has the metadata spread when they are affected.
func (m *Mesh) setSelf(f func(*Member)) {
	remeta := false
	m.update(func(v *view, _ time.Time) {
		next := v.self
		f(&next)
		if next.Draining == v.self.Draining && next.Voter == v.self.Voter && next.Load == v.self.Load {
			return
		}
		remeta = !sameMeta(next, v.self)
		v.setSelf(next)
		if remeta {
			m.storeMeta(next)
		}
	})
	if remeta {
		kick(m.remeta)
	}
}

func (m *Mesh) storeMeta(self Member) {
	buf, err := encodeMeta(self)
	if err != nil {
		m.log.Error("metadata stay as they were", "err", err)
		return
	}
	m.meta.Store(&buf)
}

// updateMeta has the pools spread this node's metadata after each change.
func (m *Mesh) updateMeta(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.remeta:
		}
		for _, p := range []*pool{m.region.Load(), m.global.Load()} {
			if p == nil || m.leaving.Load() {
				continue
			}
			if err := p.list.UpdateNode(500 * time.Millisecond); err != nil {
				m.log.Debug("spread metadata", "pool", p.name(), "err", err)
			}
		}
	}
}

// regionOf gives a member's region, empty when it is unknown.
func (m *Mesh) regionOf(id skein.NodeID) skein.Region {
	member, _ := m.Member(id)
	return member.Region
}

// kick wakes a loop that waits on a channel of one slot.
func kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
