package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

// A listed voter with an empty directory is either new or has lost its disk, and with it perhaps a vote. It votes and
// forms the group only when the others have said that they know of none.
const (
	formingFile  = "forming"              // present while this node asks
	formEvery    = 100 * time.Millisecond // between two rounds
	formPatience = 3 * time.Second        // after which a majority of empty voters is enough
	formAlone    = 500 * time.Millisecond // for gossip to show whom the group may have moved on to
	formMost     = 16                     // nodes asked in one round
)

// keyTerm is where the library keeps its term.
var keyTerm = []byte("CurrentTerm")

// standing is what a node says about the group on a stream of kind streamForming: the byte it sends.
type standing byte

const (
	unheard standing = iota // it did not answer
	unborn                  // no leader was ever elected that it knows of; it may have formed the group already
	born                    // it has taken part in the group, or has lost what it had of it
)

// outset is what a listed voter with an empty directory does after a round.
type outset uint8

const (
	askAgain outset = iota + 1
	formGroup
	joinGroup // as one that may have forgotten votes
)

// judgeForming decides from what the others, of whom listed are voters like this one, have said in one round.
func judgeForming(listed []skein.NodeID, said map[skein.NodeID]standing, waited time.Duration) outset {
	for _, s := range said {
		if s == born {
			return joinGroup
		}
	}
	all, empty := len(listed)+1, 1
	for _, v := range listed {
		if said[v] == unborn {
			empty++
		}
	}
	enough := formAlone
	if empty < all {
		enough = formPatience
	}
	if 2*empty > all && waited >= enough {
		return formGroup
	}
	return askAgain
}

// prepareForming finds out whether this node has to ask, and notes it before anything else is written: what a leader
// sends meanwhile would otherwise look like the directory of a voter that has forgotten nothing.
func (g *Group) prepareForming() error {
	if fenced, err := mustRejoin(g.cfg.Dir); err != nil || fenced {
		return err
	}
	if err := g.undoHalfFormed(); err != nil {
		return err
	}
	exists, err := raft.HasExistingState(g.disk.logs, g.disk.logs, g.disk.snapshots)
	if err != nil {
		return err
	}
	if !g.founder() {
		// It may have become a voter since the group was formed, and have lost its disk as one: it votes once it has
		// caught up, which it does as a spare before it becomes a voter anyway.
		if exists {
			return nil
		}
		return writeNote(g.cfg.Dir, rejoinFile)
	}
	asked, err := hasNote(g.cfg.Dir, formingFile)
	switch {
	case err != nil:
		return err
	case !exists:
		g.forming.Store(true)
		return writeNote(g.cfg.Dir, formingFile)
	case asked:
		return g.stopForming(joinGroup)
	}
	return nil
}

// undoHalfFormed takes back what a crash left of forming the group: the library stores term 1 and then the configuration,
// and would neither form the group over a term nor elect without a configuration. Nothing else leaves term 1 and an
// empty log: a leader, or a candidate, has a term above 1.
func (g *Group) undoHalfFormed() error {
	term, err := g.disk.logs.GetUint64(keyTerm)
	if err != nil || term != 1 { // never set, or not that of forming
		return nil //nolint:nilerr // HasExistingState reads it again and tells
	}
	list, err := g.disk.snapshots.List()
	if err != nil || len(list) > 0 {
		return err
	}
	if last, err := g.disk.logs.LastIndex(); err != nil || last > 0 {
		return err
	}
	return g.disk.logs.SetUint64(keyTerm, 0)
}

// founder reports whether this node is one of the voters that form the group.
func (g *Group) founder() bool { return slices.Contains(g.cfg.Voters, g.cfg.Node) }

// form asks until this node may form the group or has to join it; ctx ends it.
func (g *Group) form(ctx context.Context, r *raft.Raft) {
	if !g.forming.Load() {
		return
	}
	began := time.Now()
	t := time.NewTicker(formEvery)
	defer t.Stop()
	v := askAgain
	for v == askAgain {
		v = judgeForming(g.otherVoters(), g.askForming(ctx), time.Since(began))
		if r.LastIndex() > 0 || r.CurrentTerm() > 0 { // a leader has sent something
			v = joinGroup
		}
		if v != askAgain && ctx.Err() == nil {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	if err := g.stopForming(v); err != nil {
		g.fatal(err)
		return
	}
	if v == joinGroup {
		g.forming.Store(false)
		g.log.Warn("the group is there already: this listed voter is empty and does not vote before it has caught up")
		return
	}
	// The fence stands until the configuration is on disk: nobody gets anywhere with the help of a node that could come
	// back from a crash with nothing. Whoever was faster may have sent its entries; then there is nothing left to do.
	defer func() {
		g.transport.fenced.Store(false)
		g.forming.Store(false)
	}()
	if err := g.epochs.begin(); err != nil {
		g.fatal(err)
		return
	}
	if err := r.BootstrapCluster(g.firstVoters()).Error(); err != nil && !errors.Is(err, raft.ErrCantBootstrap) && !errors.Is(err, raft.ErrRaftShutdown) {
		g.fatal(fmt.Errorf("form the group in %s: %w", g.cfg.Dir, err))
	}
}

// stopForming replaces the note durably: a node that joins leaves the one that keeps it from voting.
func (g *Group) stopForming(v outset) error {
	if v == joinGroup {
		if err := writeNote(g.cfg.Dir, rejoinFile); err != nil {
			return err
		}
	}
	return removeNote(g.cfg.Dir, formingFile)
}

// firstVoters is the configuration that each listed voter begins with; their logs agree.
func (g *Group) firstVoters() (conf raft.Configuration) {
	for _, v := range slices.Sorted(slices.Values(g.cfg.Voters)) {
		conf.Servers = append(conf.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(v), Address: raft.ServerAddress(v)})
	}
	return conf
}

func (g *Group) otherVoters() []skein.NodeID {
	return slices.DeleteFunc(slices.Clone(g.cfg.Voters), func(v skein.NodeID) bool { return v == g.cfg.Node })
}

// askForming asks the listed voters, and whom else gossip shows: the group may have moved on to other voters.
func (g *Group) askForming(ctx context.Context) map[skein.NodeID]standing {
	whom := g.otherVoters()
	for _, c := range g.cfg.Peers.Candidates() {
		if c.Node != g.cfg.Node && !c.Gone && !slices.Contains(whom, c.Node) {
			whom = append(whom, c.Node)
		}
	}
	listed := len(g.cfg.Voters) - 1
	rand.Shuffle(len(whom)-listed, func(i, j int) { whom[listed+i], whom[listed+j] = whom[listed+j], whom[listed+i] })
	whom = whom[:min(len(whom), max(formMost, len(g.cfg.Voters)))]
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answers := make([]standing, len(whom))
	var asked sync.WaitGroup
	for i, node := range whom {
		asked.Go(func() { answers[i] = g.askStanding(ctx, node) })
	}
	asked.Wait()
	said := map[skein.NodeID]standing{}
	for i, node := range whom {
		said[node] = answers[i]
	}
	return said
}

// askStanding asks one node; unheard when it does not answer before ctx ends, or in a way that is not known.
func (g *Group) askStanding(ctx context.Context, node skein.NodeID) standing {
	conn, err := g.cfg.Peers.Dial(ctx, node, Service)
	if err != nil {
		return unheard
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var answer [1]byte
	if _, err := conn.Write([]byte{streamForming}); err != nil {
		return unheard
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return unheard
	}
	if s := standing(answer[0]); s == unborn || s == born {
		return s
	}
	return unheard
}

// tellStanding answers askStanding. A replica that does not run yet says nothing.
func (g *Group) tellStanding(conn net.Conn) error {
	r := g.raft.Load()
	if r == nil {
		return errNotLeader
	}
	answer := unborn
	// The configuration that a first voter begins with is entry 1 of term 1; a vote takes a higher term.
	if r.CurrentTerm() > 1 || r.LastIndex() > 1 || (g.founder() && g.transport.fenced.Load() && !g.forming.Load()) {
		answer = born
	}
	conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := conn.Write([]byte{byte(answer)})
	return err
}
