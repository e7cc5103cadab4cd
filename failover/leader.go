package failover

import (
	"maps"
	"slices"

	"github.com/skein-mesh/skein"
)

// handOver is a hand-over of the leadership that has been asked for.
type handOver struct {
	to    skein.NodeID
	out   bool // it is with the caller
	retry retry
}

// decideLeadership hands the leadership on while this node drains. A hand-over that was carried out is asked for
// again after RetryMax if this node leads still.
func (m *Machine) decideLeadership() {
	self := m.nodes[m.leader]
	if !m.me || self == nil || !self.draining {
		if m.hand != nil && !m.hand.out {
			m.hand = nil
		}
		return
	}
	h := m.hand
	if h != nil && (h.out || !h.retry.due(m.now)) {
		return
	}
	to, ok := m.successor(h)
	if !ok {
		return
	}
	if h == nil {
		h = &handOver{}
		m.hand = h
	}
	h.to, h.out, h.retry.waits = to, true, false
	m.emit(HandLeadership{to})
}

// successor is a voter that is well, another than the last one that failed while there is one.
func (m *Machine) successor(last *handOver) (skein.NodeID, bool) {
	var fallback skein.NodeID
	for _, id := range slices.Sorted(maps.Keys(m.nodes)) {
		n := m.nodes[id]
		if id == m.leader || !n.voter || !n.well() {
			continue
		}
		if last == nil || id != last.to {
			return id, true
		}
		fallback = id
	}
	return fallback, fallback != ""
}

func (m *Machine) handed(a HandLeadership, err error) {
	h := m.hand
	if h == nil || !h.out || h.to != a.To {
		return
	}
	h.out = false
	if err != nil {
		h.retry.fail(m)
		return
	}
	h.retry = retry{after: m.now + m.config.RetryMax, waits: true}
}
