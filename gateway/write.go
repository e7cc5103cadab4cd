package gateway

import (
	"bytes"
	"context"
	"time"
)

// peersPause is the least time between two lists of peers on one line.
const peersPause = 250 * time.Millisecond

// writeAll writes what the outbox holds, signs of life, lists of peers and the request to go away, until the
// outbox is closed and empty (nil), the client cannot be written to, or ctx ends.
func (l *line) writeAll(ctx context.Context) error {
	n := l.newNotices()
	defer n.timer.Stop()
	finish := l.g.finish
	for {
		msgs, open := l.out.take()
		if len(msgs) > 0 {
			if err := l.write(msgs); err != nil {
				return err
			}
			if l.running() {
				l.life.Reset(l.every)
			}
			continue
		}
		if !open {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.out.wake:
		case <-l.life.C:
			if sign := l.sign(); sign != nil {
				l.out.add(sign)
			} else if l.running() {
				l.life.Reset(l.every) // look again after the next pause
			}
		case <-n.changed:
			n.changed = nil
			n.timer.Reset(max(0, peersPause-time.Since(n.sent)))
		case <-n.timer.C:
			l.tellPeers(n)
		case <-n.drain:
			l.tellDrain(n)
		case <-finish:
			finish = nil
			l.stop()
		}
	}
}

// notices is what one line has been told of the mesh.
type notices struct {
	changed <-chan struct{} // the membership; nil: do not watch
	drain   <-chan struct{} // whether this node drains
	timer   *time.Timer     // when the next list of peers may go out
	sent    time.Time       // when the last one did
	peers   []byte          // the last one, encoded
}

func (l *line) newNotices() *notices {
	n := &notices{timer: time.NewTimer(time.Hour)}
	n.timer.Stop()
	if !l.via {
		l.tellPeers(n)
		l.tellDrain(n)
	}
	return n
}

// tellPeers sends the list of peers when it differs from the last one. The channel is taken before the list
// is read, so that no change is missed.
func (l *line) tellPeers(n *notices) {
	n.changed = l.g.peersChanged()
	region, _ := l.o.Session.Split()
	msg := l.form.peers(l.g.peers(region))
	if !bytes.Equal(msg, n.peers) {
		n.peers, n.sent = msg, time.Now()
		l.out.add(msg)
	}
}

func (l *line) tellDrain(n *notices) {
	var on bool
	on, n.drain = l.g.drainState()
	if on {
		region, _ := l.o.Session.Split()
		l.out.add(l.form.goAway(l.g.peers(region)))
	}
}
