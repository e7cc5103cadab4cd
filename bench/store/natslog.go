package store

import (
	"fmt"
	"sync"
)

// natsLog is a server's log of which only the first fatal line is kept: the server does not return it.
type natsLog struct {
	mu  sync.Mutex // guards the field below
	err error
}

// fatal gives why the server does not run, nil when it does.
func (l *natsLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Fatalf satisfies server.Logger.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", errStopped, fmt.Sprintf(format, v...))
	}
}

// The rest of server.Logger; what these say is not kept.

func (l *natsLog) Noticef(string, ...any) {}
func (l *natsLog) Warnf(string, ...any)   {}
func (l *natsLog) Errorf(string, ...any)  {}
func (l *natsLog) Debugf(string, ...any)  {}
func (l *natsLog) Tracef(string, ...any)  {}
