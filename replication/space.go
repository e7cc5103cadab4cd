package replication

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// spaceMark says how full the disk of a replica is.
type spaceMark uint8

const (
	roomy spaceMark = iota
	soft            // no new turns; replies, ends of leases and deletes are still committed
	hard            // likewise, and no leader if another has room
)

// The soft mark is at 15 % of the disk or 1 GiB left, whichever is less, the hard one at 5 % or 256 MiB.
const (
	softShare, softLeft = 15, 1 << 30
	hardShare, hardLeft = 5, 256 << 20

	spaceEvery    = time.Second
	compactPause  = 10 * time.Minute // between two snapshots that are taken to cut the log
	handOverPause = 10 * time.Second
	fullRetry     = 5 * time.Second // advice to who is refused
	fullTrailing  = 256             // log entries kept behind a snapshot while the disk is full
	reserveFile   = "reserve"       // given up for compaction when the hard mark is reached
	reserveBytes  = 16 << 20
)

// markOf gives the mark. One that was reached holds until a tenth more is free, so that it does not flicker.
func markOf(free, total uint64, was spaceMark) spaceMark {
	under := func(m spaceMark, share, left uint64) bool {
		limit := min(total/100*share, left)
		if was >= m {
			limit += limit / 10
		}
		return free < limit
	}
	switch {
	case under(hard, hardShare, hardLeft):
		return hard
	case under(soft, softShare, softLeft):
		return soft
	}
	return roomy
}

func (m spaceMark) String() string { return [...]string{"", "soft", "hard"}[m] }

// space is what is known of the disks of the group.
type space struct {
	mu          sync.Mutex // guards the fields below
	free, total uint64     // of this replica; 0, 0: not known
	mark        spaceMark
	others      map[skein.NodeID]spaceMark // as they last said
	crowded     bool                       // so many voters have reached a mark that the others are no majority
}

func (s *space) get() (free, total uint64, mark spaceMark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free, s.total, s.mark
}

// measured takes in a measurement and gives the mark before and after it.
func (s *space) measured(free, total uint64) (was, is spaceMark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is = s.mark, markOf(free, total, s.mark)
	s.free, s.total, s.mark = free, total, is
	return was, is
}

// heard takes in what the members said of their disks.
func (s *space) heard(self skein.NodeID, voters []skein.NodeID, reports map[skein.NodeID]report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = map[skein.NodeID]spaceMark{}
	for id, r := range reports {
		if id != self {
			s.others[id] = r.space
		}
	}
	full := 0
	for _, v := range voters {
		if v != self && s.others[v] != roomy || v == self && s.mark != roomy {
			full++
		}
	}
	s.crowded = len(voters)-full < len(voters)/2+1
}

func (s *space) of(id skein.NodeID) spaceMark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.others[id]
}

func (s *space) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark != roomy || s.crowded
}

// admit refuses a proposal that begins something new while the disk is full: here, or at so many voters that the
// rest is no majority.
func (g *Group) admit(p *proposal) error {
	if len(p.commands) == 0 || !g.space.full() {
		return nil
	}
	for _, buf := range p.commands {
		w := &wire.Command{}
		if err := proto.Unmarshal(buf, w); err != nil {
			return skein.Fault(skein.CodeMalformed, "command: %v", err)
		}
		if begins, err := g.begins(commandFromWire(w)); err != nil {
			return err
		} else if begins {
			return &skein.Error{Code: skein.CodeStorageFull, Detail: "the disk of the group is full; it takes no new turns", RetryAfter: fullRetry}
		}
	}
	return nil
}

// begins reports whether c makes a session or a turn that is not there yet.
func (g *Group) begins(c session.Command) (bool, error) {
	var turn *skein.TurnID
	switch b := c.Body.(type) {
	case session.Open:
	case session.Accept:
		turn = &b.Turn
	default:
		return false, nil
	}
	st, err := g.disk.store.get(c.Session)
	if err != nil || st == nil {
		return true, err
	}
	if turn == nil {
		return false, nil
	}
	_, known := st.Turn(*turn)
	return !known, nil
}

// watchSpace measures the disk and does what its marks call for.
func (g *Group) watchSpace(ctx context.Context, r *raft.Raft) {
	k := &keeper{g: g, r: r}
	defer k.jobs.Wait()
	t := time.NewTicker(spaceEvery)
	defer t.Stop()
	for {
		if free, total, err := g.cfg.Space(); err == nil {
			k.act(ctx, free, total)
		} else {
			g.log.Debug("free space not known", "err", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// keeper keeps a replica alive on a full disk. One goroutine owns it.
type keeper struct {
	g         *Group
	r         *raft.Raft
	jobs      sync.WaitGroup
	compacted time.Time // when the last compaction was begun
	handed    time.Time // when leadership was last given away
}

func (k *keeper) act(ctx context.Context, free, total uint64) {
	g := k.g
	was, is := g.space.measured(free, total)
	if is != was {
		g.log.Warn("the mark of the disk has changed", "from", was.String(), "to", is.String(), "free_bytes", free)
		g.reload(k.r, func(c *raft.ReloadableConfig) {
			c.TrailingLogs = g.cfg.TrailingEntries
			if is != roomy {
				c.TrailingLogs = min(c.TrailingLogs, fullTrailing)
			}
		})
	}
	switch is {
	case roomy:
		if g.cfg.Group == 0 && free > 2*reserveBytes+softLeft { // one on a disk is enough
			if err := makeReserve(g.cfg.Dir); err != nil {
				g.log.Debug("no reserve on the disk", "err", err)
			}
		}
		return
	case hard:
		if err := os.Remove(filepath.Join(g.cfg.Dir, reserveFile)); err == nil {
			g.log.Warn("the reserve is given up for compaction", "bytes", reserveBytes)
		}
		if time.Since(k.handed) >= handOverPause && k.r.State() == raft.Leader && g.roomierHeir(k.r) {
			k.handed = time.Now()
			k.jobs.Go(func() { g.handOver(ctx, k.r) })
		}
	}
	if k.compacted.IsZero() || time.Since(k.compacted) >= compactPause || is == hard && was != hard {
		k.compacted = time.Now()
		k.jobs.Go(func() { g.compact(ctx, k.r) })
	}
}

// compact takes a snapshot, so that the log behind it goes. It needs room for a copy of the state; the groups on a disk
// take turns.
func (g *Group) compact(ctx context.Context, r *raft.Raft) {
	select {
	case g.compacting <- struct{}{}:
		defer func() { <-g.compacting }()
	case <-ctx.Done():
		return
	}
	info, err := os.Stat(g.disk.store.path())
	var free uint64
	if err == nil {
		free, _, err = g.cfg.Space()
	}
	if err == nil && uint64(info.Size()) > free {
		err = fmt.Errorf("a snapshot takes %d bytes, %d are left", info.Size(), free)
	}
	if err == nil {
		err = r.Snapshot().Error()
	}
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
		g.log.Warn("the log was not compacted", "err", err)
	}
}

// roomierHeir reports whether a voter that may take over is known to have more room than the hard mark.
func (g *Group) roomierHeir(r *raft.Raft) bool {
	for _, id := range g.heirs(r) {
		if g.space.of(id) != hard {
			return true
		}
	}
	return false
}

// makeReserve takes the reserve on the disk unless it is there.
func makeReserve(dir string) error {
	path := filepath.Join(dir, reserveFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(allocate(f, reserveBytes), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// reload changes what the library can change while it runs.
func (g *Group) reload(r *raft.Raft, change func(*raft.ReloadableConfig)) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	now := r.ReloadableConfig()
	next := now
	change(&next)
	if next == now {
		return
	}
	if err := r.ReloadConfig(next); err != nil {
		g.log.Error("settings not changed", "err", err)
	}
}
