package mesh

import (
	"fmt"

	"github.com/skein-mesh/skein"
)

func (m *Mesh) DebugSaid(id skein.NodeID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.view.records[id]
	if r == nil {
		return "none"
	}
	s := fmt.Sprintf("%v inc %d:", r.member.Status, r.member.Incarnation)
	for o, st := range r.said {
		s += fmt.Sprintf(" %s=%v@%d.%d(inc %d)", o, st.member.Status, st.stamp.incarnation, st.stamp.version, st.member.Incarnation)
	}
	return s
}
