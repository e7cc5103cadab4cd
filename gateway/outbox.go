package gateway

import (
	"context"
	"sync"
)

// maxOutbox is how many bytes wait for a slow client before the turn that makes them waits too.
const maxOutbox = 512 << 10

// outbox holds encoded messages between those that make them and the one goroutine that writes them, so
// that what piles up during a write leaves in the next one.
type outbox struct {
	wake  chan struct{} // capacity 1: there is something to take
	space chan struct{} // capacity 1: there is room again

	mu sync.Mutex
	// mu guards the fields below
	msgs   [][]byte
	size   int
	closed bool
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// push adds a message, once there is room.
func (o *outbox) push(ctx context.Context, msg []byte) error { return o.put(ctx, msg, false) }

// put is push; with more the writer is not woken, since another message follows at once.
func (o *outbox) put(ctx context.Context, msg []byte, more bool) error {
	if len(msg) == 0 {
		return nil
	}
	for {
		o.mu.Lock()
		if o.size < maxOutbox || o.closed {
			o.addLocked(msg)
			room := o.size < maxOutbox
			o.mu.Unlock()
			if !more {
				poke(o.wake)
			}
			if room {
				poke(o.space) // another one may be waiting, and space holds a single signal
			}
			return nil
		}
		o.mu.Unlock()
		poke(o.wake) // what was put with more may be all that there is to write
		select {
		case <-o.space:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// add adds a message whatever the room; for the writer itself, which cannot wait for itself.
func (o *outbox) add(msg []byte) {
	if len(msg) == 0 {
		return
	}
	o.mu.Lock()
	o.addLocked(msg)
	o.mu.Unlock()
}

func (o *outbox) addLocked(msg []byte) {
	o.msgs = append(o.msgs, msg)
	o.size += len(msg)
}

// take gives all messages, and whether more may come.
func (o *outbox) take() (msgs [][]byte, open bool) {
	o.mu.Lock()
	msgs, o.msgs, o.size = o.msgs, nil, 0
	open = !o.closed
	o.mu.Unlock()
	if len(msgs) > 0 {
		poke(o.space)
	}
	return msgs, open
}

// close says that nothing more comes.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	poke(o.wake)
}

// poke leaves a signal in a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
