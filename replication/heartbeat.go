package replication

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pulse is the heartbeats to one follower. The library sends one after the other, but a loop of an earlier
// leadership may still wait beside the present one.
type pulse struct {
	mu     sync.Mutex // guards the fields below
	flying *beat      // a heartbeat whose answer is awaited; nil: none
	heard  time.Time  // when the follower last answered one
}

// beat is one heartbeat; resp and err are set before done is closed.
type beat struct {
	done chan struct{}
	resp raft.AppendEntriesResponse
	err  error
}

// heartbeatPatience is how long the library waits for an answer before a stretched lease stands in for it.
const heartbeatPatience = 50 * time.Millisecond

// isHeartbeat knows the library's heartbeats by what they leave out.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0
}

// heartbeat sends a heartbeat. Its answer renews the leader's lease in the library, whose length cannot change while it
// runs; when the election timeout has been raised, a follower that answered lately counts as heard for as much longer.
// The lease decides only when a leader steps down: no read relies on it. An answer made up here says that the
// request was not successful, which nothing else looks at.
func (t *transport) heartbeat(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	p := t.pulse(id)
	patience := time.Duration(t.patience.Load())
	b := p.beat(patience > 0, func(b *beat) {
		sent := *req
		t.pumps.Go(func() {
			b.err = t.NetworkTransport.AppendEntries(id, addr, &sent, &b.resp)
			p.land(b)
		})
	})
	if b == nil {
		err := t.NetworkTransport.AppendEntries(id, addr, req, resp)
		p.answered(err)
		return err
	}
	late := time.NewTimer(heartbeatPatience)
	defer late.Stop()
	select {
	case <-b.done:
	case <-late.C:
		if p.silence() < patience {
			*resp = raft.AppendEntriesResponse{RPCHeader: req.RPCHeader, Term: req.Term}
			return nil
		}
		<-b.done // the library's timeout ends it
	}
	*resp = b.resp
	return b.err
}

// beat gives the heartbeat under way, or starts one if a stretched lease wants that.
func (p *pulse) beat(stretched bool, start func(*beat)) *beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flying == nil && stretched {
		p.flying = &beat{done: make(chan struct{})}
		start(p.flying)
	}
	return p.flying
}

func (p *pulse) land(b *beat) {
	p.answered(b.err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying = nil
	close(b.done)
}

func (p *pulse) answered(err error) {
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Now()
}

func (p *pulse) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.heard)
}

func (t *transport) pulse(id raft.ServerID) *pulse {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pulses[id]
	if p == nil {
		p = &pulse{}
		t.pulses[id] = p
	}
	return p
}
