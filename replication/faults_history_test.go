package replication

import (
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/skein-mesh/skein"
)

// stormFault is one thing that goes wrong at some nodes; run returns when it is under way, or over.
type stormFault struct {
	run  func(*storm, []skein.NodeID)
	ends []error // with which a node may end because of it
}

var stormFaults = map[string]stormFault{
	"kill":             {run: func(s *storm, on []skein.NodeID) { s.crash(on...) }},
	"partition":        {run: func(s *storm, on []skein.NodeID) { s.sky.sever(s.around(on, true, true)...) }},
	"cannot send":      {run: func(s *storm, on []skein.NodeID) { s.sky.sever(s.around(on, true, false)...) }},
	"cannot receive":   {run: func(s *storm, on []skein.NodeID) { s.sky.sever(s.around(on, false, true)...) }},
	"30 % loss":        {run: func(s *storm, _ []skein.NodeID) { s.sky.set(func() { s.sky.loss = 0.3 }) }},
	"200 ms delay":     {run: func(s *storm, _ []skein.NodeID) { s.sky.set(func() { s.sky.latency = 200 * time.Millisecond }) }},
	"sync hangs 3 s":   {run: hangFor(3 * time.Second), ends: []error{ErrDiskHung}},
	"sync hangs":       {run: hangFor(diskHungExit + 3*time.Second), ends: []error{ErrDiskHung, errDown}},
	"EIO once":         {run: spoilLog(syscall.EIO), ends: []error{syscall.EIO}},
	"ENOSPC, log":      {run: spoilLog(syscall.ENOSPC), ends: []error{syscall.ENOSPC}},
	"ENOSPC, state":    {run: fillState, ends: []error{bolterrors.ErrMaxSizeReached}},
	"ENOSPC, snapshot": {run: fillSnapshots},
	"crash in restore": {run: crashInRestore},
	"transfer, cut":    {run: transferThenCut, ends: []error{errTransferStuck}},
	"clock step":       {run: stepClock},
}

// around gives the paths between nodes and all others.
func (s *storm) around(on []skein.NodeID, out, in bool) (paths []direction) {
	for _, a := range on {
		for _, b := range stormNodes {
			if out {
				paths = append(paths, direction{a, b})
			}
			if in {
				paths = append(paths, direction{b, a})
			}
		}
	}
	return paths
}

func hangFor(d time.Duration) func(*storm, []skein.NodeID) {
	return func(s *storm, on []skein.NodeID) {
		for _, id := range on {
			s.parts[id].log.spoil(nil, true, false)
		}
		time.Sleep(d)
		for _, id := range on {
			var err error
			if d > diskHungExit { // the process is gone by then
				err = errDown
			}
			s.parts[id].log.release(err)
		}
	}
}

func spoilLog(err error) func(*storm, []skein.NodeID) {
	return func(s *storm, on []skein.NodeID) {
		for _, id := range on {
			s.parts[id].log.spoil(err, false, true)
		}
	}
}

func fillState(s *storm, on []skein.NodeID) {
	for _, id := range on {
		fillUp(s.t, s.nodes[id].disk.store)
	}
}

func fillSnapshots(s *storm, on []skein.NodeID) {
	for _, id := range on {
		s.parts[id].snapshots.set(true, false)
	}
	s.snapshotNow(on...)
}

// crashInRestore makes nodes miss entries, so that they come back by snapshot, and kills them between the receipt of the
// snapshot and its restore.
func crashInRestore(s *storm, on []skein.NodeID) {
	if len(on) == len(stormNodes) { // somebody has to send the snapshot
		on = on[:1]
	}
	s.crash(on...)
	s.pass(2*time.Second, 3*time.Second)
	s.snapshotNow(stormNodes...)
	s.pass(time.Second, 2*time.Second)
	s.snapshotNow(stormNodes...)
	prepare := s.prepare
	s.prepare = func(g *Group) {
		prepare(g)
		s.parts[g.cfg.Node].snapshots.set(false, true)
	}
	for _, id := range on {
		s.wake(id)
		reached := s.parts[id].snapshots.reaching()
		select {
		case <-reached:
			s.caught++
		case <-time.After(5 * time.Second): // the entries were still in the log
		}
	}
	s.prepare = prepare
	s.crash(on...)
}

// transferThenCut hands leadership to a node that lags, and cuts the old leader off in the middle.
func transferThenCut(s *storm, _ []skein.NodeID) {
	lead := s.lead()
	from := lead.cfg.Node
	heirs := lead.heirs(lead.raft.Load())
	if len(heirs) == 0 {
		return
	}
	to := heirs[s.rng.IntN(len(heirs))]
	s.sky.sever(direction{from, to})
	s.pass(100*time.Millisecond, 900*time.Millisecond)
	s.sky.heal()
	s.transfer(from, to)
	s.pass(0, 50*time.Millisecond)
	s.sky.sever(s.around([]skein.NodeID{from}, true, true)...)
}

// stepClock sets the clocks of all proposers an hour forth or back. Nothing but the time that an event shows may follow it.
func stepClock(s *storm, _ []skein.NodeID) {
	step := time.Hour
	if s.rng.IntN(2) == 0 {
		step = -step
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += step
}
