package replication

import (
	"sync"
	"time"
)

// measured asks how much room a disk has at most every half spaceEvery, for all groups on it.
type measured struct {
	ask func() (free, total uint64, err error)

	mu          sync.Mutex // guards the fields below
	at          time.Time
	free, total uint64
	err         error
}

func newMeasured(ask func() (free, total uint64, err error)) *measured { return &measured{ask: ask} }

func (m *measured) get() (free, total uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() || time.Since(m.at) >= spaceEvery/2 {
		m.free, m.total, m.err = m.ask()
		m.at = time.Now()
	}
	return m.free, m.total, m.err
}
