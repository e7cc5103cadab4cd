package mesh

import (
	"context"
	"maps"
	"math"
	"time"

	"github.com/skein-mesh/skein"
)

const (
	refreshEvery = 5 * time.Second        // full digests to a few, against losses
	batchNews    = 5 * time.Millisecond   // changes that come together travel together
	loadStep     = 0.05                   // smaller changes of load wait for the next refresh
	refuteEvery  = 200 * time.Millisecond // answers to notices about this node
	noticeMemory = 10 * time.Second
	maxHeard     = 1024
)

// heardDigest merges a digest and passes news on inside the region.
func (m *Mesh) heardDigest(d digest) {
	var news bool
	m.update(func(v *view, now time.Time) { news = v.merge(d, now) })
	if !news {
		return
	}
	m.askNew()
	if p := m.region.Load(); p != nil {
		for _, msg := range d.split() {
			p.send(msg)
		}
	}
}

// heardNotice takes evidence of another node: it answers one about itself, checks one about others, and passes
// on what it has not heard before.
func (m *Mesh) heardNotice(n notice) {
	self := m.Self()
	if n.about.Node == self.Node {
		if n.about.Incarnation == self.Incarnation && n.observer != self.Node && n.status != Alive {
			m.refute(n)
		}
		return
	}
	var check, fresh bool
	m.update(func(v *view, now time.Time) {
		fresh = m.remember(n, now)
		check = v.noticed(n, now)
	})
	if !fresh {
		return
	}
	if n.status == Left {
		if p := m.region.Load(); p != nil {
			p.forget(n.about.Node)
		}
	}
	m.pass(n)
	if check {
		m.check(n.about, n.evidence)
	}
}

// remember reports whether n was not heard of late; called under the lock.
func (m *Mesh) remember(n notice, now time.Time) bool {
	if at, ok := m.heard[n]; ok && now.Sub(at) < noticeMemory {
		return false
	}
	if len(m.heard) >= maxHeard {
		maps.DeleteFunc(m.heard, func(_ notice, at time.Time) bool { return now.Sub(at) >= noticeMemory })
	}
	if len(m.heard) < maxHeard {
		m.heard[n] = now
	}
	return true
}

// refute says that this node lives; the others check it.
func (m *Mesh) refute(n notice) {
	if m.leaving.Load() {
		return
	}
	m.mu.Lock()
	now := time.Now()
	due := now.Sub(m.refuted) >= refuteEvery
	if due {
		m.refuted = now
	}
	m.mu.Unlock()
	if due {
		m.log.Warn("another node doubts this one; answering", "observer", n.observer, "status", n.status.String(), "evidence", n.evidence)
		m.pass(notice{about: n.about, status: Alive, observer: m.config.Self.Node, evidence: now.UTC().Format(time.RFC3339Nano)})
	}
}

// tell sends this node's own notice to the region, and says so in the log.
func (m *Mesh) tell(n notice) {
	m.log.Info("notice", "about", n.about.String(), "status", n.status.String(), "evidence", n.evidence)
	m.mu.Lock()
	m.remember(n, time.Now())
	m.mu.Unlock()
	m.pass(n)
}

func (m *Mesh) pass(n notice) {
	if p := m.region.Load(); p != nil {
		p.send(n.encode())
	}
}

// state is what a push/pull carries: all that was said about other regions and, across regions, this node's own
// words about its region.
func (m *Mesh) state(global bool) []digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.view.said(global)
	if !global {
		return out
	}
	own := digest{region: m.config.Self.Region, origin: m.config.Self.Runner(), version: m.version}
	for _, member := range m.view.ownWords() {
		if member.Region == own.region {
			own.members = append(own.members, member)
		}
	}
	return append(out, own)
}

// told is what this node has announced last, by pool.
type told struct {
	region map[skein.NodeID]Member
	global map[skein.NodeID]Member
}

// announce sends this node's own words when they change: to the other regions what it holds of its own (voters
// only), inside the region its load and, as a witness, what it sees of voters elsewhere.
func (m *Mesh) announce(ctx context.Context) {
	last := told{region: map[skein.NodeID]Member{}, global: map[skein.NodeID]Member{}}
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	for {
		changed := m.Changed()
		m.announceNews(&last)
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if !wait(ctx, batchNews) {
				return
			}
		case <-refresh.C:
			m.announceAll()
		}
	}
}

// announceNews sends what differs from the last time.
func (m *Mesh) announceNews(last *told) {
	region, global := m.words()
	if p := m.region.Load(); p != nil {
		m.announceTo(p, region, last.region)
	}
	if p := m.global.Load(); p != nil && m.Self().Voter {
		m.announceTo(p, global, last.global)
	}
}

// words splits this node's own words by the pool that they go to.
func (m *Mesh) words() (region, global []Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, member := range m.view.ownWords() {
		if member.Region == m.config.Self.Region {
			global = append(global, member)
		}
		if member.Region != m.config.Self.Region || member.Node == m.config.Self.Node {
			region = append(region, member)
		}
	}
	return region, global
}

func (m *Mesh) announceTo(p *pool, words []Member, last map[skein.NodeID]Member) {
	news := map[skein.Region][]Member{}
	current := make(map[skein.NodeID]bool, len(words))
	for _, w := range words {
		current[w.Node] = true
		old, ok := last[w.Node]
		if ok && old.Status == w.Status && sameMeta(old, w) && math.Abs(float64(old.Load-w.Load)) < loadStep {
			continue
		}
		last[w.Node] = w
		news[w.Region] = append(news[w.Region], w)
	}
	maps.DeleteFunc(last, func(id skein.NodeID, _ Member) bool { return !current[id] })
	for region, members := range news {
		for _, msg := range m.ownDigest(region, members).split() {
			p.send(msg)
		}
	}
}

// ownDigest stamps this node's words with the next version.
func (m *Mesh) ownDigest(region skein.Region, members []Member) digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	return digest{region: region, origin: m.config.Self.Runner(), version: m.version, members: members}
}

// announceAll sends everything to a few nodes, so that what was lost on the way arrives after all.
func (m *Mesh) announceAll() {
	region, global := m.words()
	byRegion := map[skein.Region][]Member{}
	for _, w := range region {
		byRegion[w.Region] = append(byRegion[w.Region], w)
	}
	const few = 3
	if p := m.region.Load(); p != nil {
		for r, members := range byRegion {
			for _, msg := range m.ownDigest(r, members).split() {
				p.direct(msg, few)
			}
		}
	}
	if p := m.global.Load(); p != nil && m.Self().Voter {
		for _, msg := range m.ownDigest(m.config.Self.Region, global).split() {
			p.direct(msg, few)
		}
	}
	m.update(func(v *view, now time.Time) { v.sweep(now) })
}
