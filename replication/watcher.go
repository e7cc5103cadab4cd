package replication

import "github.com/skein-mesh/skein"

const maxWatchers = 16384 // readers that may wait for a session

// watcher is the readers who wait for the next change of one session.
type watcher struct {
	changed chan struct{}
	readers int
}

// watch gives a channel that is closed at the next change of the session; leave must be called once.
func (s *store) watch(id skein.SessionID) (changed <-chan struct{}, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watching >= maxWatchers {
		return nil, nil, skein.Fault(skein.CodeOverloaded, "%d readers wait already", s.watching)
	}
	w := s.watchers[id]
	if w == nil {
		w = &watcher{changed: make(chan struct{})}
		s.watchers[id] = w
	}
	w.readers++
	s.watching++
	return w.changed, func() { s.unwatch(id, w) }, nil
}

func (s *store) unwatch(id skein.SessionID, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watching--
	if w.readers--; w.readers == 0 && s.watchers[id] == w {
		delete(s.watchers, id)
	}
}

func (s *store) notifyLocked(id skein.SessionID) {
	if w := s.watchers[id]; w != nil {
		close(w.changed)
		delete(s.watchers, id)
	}
}
