package replication

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// Replica is where the state of one group stands on one disk; operators compare replicas by it before a recovery.
type Replica struct {
	Group    uint32
	Epoch    uint64 // of the group's cluster; 0: there is no state
	Last     uint64 // index of the last log entry, committed or not
	LastTerm uint64 // of that entry; 0: not known
	Applied  uint64 // index that the state has
	Sessions uint64
	Voters   []skein.NodeID // as the log has them
	Fenced   bool           // it has lost state, or set it aside, and may lack what was acknowledged
	Leader   skein.NodeID   // that is heard; empty: none, or nothing runs on the directory
}

// AtLeast reports whether r holds at least what o holds: it is of the higher epoch, then complete rather than fenced, then of
// the higher term, then of the higher index. Raft elects by the latter two (Ongaro and Ousterhout, section 5.4.1).
func (r *Replica) AtLeast(o *Replica) bool {
	switch {
	case r.Epoch != o.Epoch:
		return r.Epoch > o.Epoch
	case r.Fenced != o.Fenced:
		return o.Fenced
	case r.LastTerm != o.LastTerm:
		return r.LastTerm > o.LastTerm
	}
	return r.Last >= o.Last
}

// Replica tells where this replica stands.
func (g *Group) Replica() (Replica, error) {
	s := g.Status()
	out := Replica{Group: g.cfg.Group, Voters: s.Voters, Fenced: s.Fenced, Leader: s.Leader}
	out.Epoch, _ = g.epochs.get()
	at := g.disk.store.mark()
	out.Applied, out.Sessions = at.index, at.sessions
	if err := g.disk.lastEntry(&out); err != nil {
		return out, err
	}
	if r := g.raft.Load(); r == nil || !g.hears(r) {
		out.Leader = ""
	}
	return out, nil
}

// lastEntry finds the last entry that is known here.
func (d *disk) lastEntry(out *Replica) error {
	o, _, err := d.survey()
	if err != nil {
		return err
	}
	out.Last = max(o.last, o.snapshot)
	out.LastTerm = d.termOf(out.Last)
	return nil
}

// Inspect tells where the replica in dir stands, of which no process may be running. Nothing is changed but what a start would
// cut off too: the torn end of the log.
func Inspect(dir string, group uint32) (Replica, error) {
	out := Replica{Group: group}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return out, nil
		}
		return out, fmt.Errorf("data directory %s: %w", dir, err)
	}
	d, err := openDisk(dir, newRaftLog(slog.New(slog.DiscardHandler)), func(error) {})
	if err != nil {
		return out, err
	}
	return out, errors.Join(d.inspect(&out), d.close())
}

func (d *disk) inspect(out *Replica) error {
	e, err := d.readEpochs()
	if err != nil {
		return err
	}
	out.Epoch, _ = e.get()
	at := d.store.mark()
	out.Applied, out.Sessions = at.index, at.sessions
	if out.Fenced, err = anyNote(d.dir, rejoinFile, formingFile, rebuildFile); err != nil {
		return err
	}
	if err := d.lastEntry(out); err != nil {
		return err
	}
	conf, err := d.configuration()
	for _, s := range conf.Servers {
		if s.Suffrage == raft.Voter {
			out.Voters = append(out.Voters, skein.NodeID(s.ID))
		}
	}
	slices.Sort(out.Voters)
	return err
}

func anyNote(dir string, names ...string) (bool, error) {
	for _, name := range names {
		if has, err := hasNote(dir, name); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// configuration gives the newest membership that is known here: of the log, else of the newest snapshot.
func (d *disk) configuration() (conf raft.Configuration, err error) {
	list, err := d.snapshots.List()
	if err != nil {
		return conf, err
	}
	if len(list) > 0 {
		conf = list[0].Configuration
	}
	first, err := d.logs.FirstIndex()
	if err != nil {
		return conf, err
	}
	last, err := d.logs.LastIndex()
	if err != nil {
		return conf, err
	}
	var l raft.Log
	for i := max(first, 1); i <= last; i++ {
		if err := d.logs.GetLog(i, &l); err != nil {
			return conf, err
		}
		if l.Type == raft.LogConfiguration {
			conf = raft.DecodeConfiguration(l.Data)
		}
	}
	return conf, nil
}
