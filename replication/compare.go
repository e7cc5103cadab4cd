package replication

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
)

const (
	compareEvery  = 10 * time.Second // with half as much again of jitter
	compareWithin = 2 * time.Second  // for one replica to tell its hashes
	sparseEvery   = 64               // entries between two hashes that are kept for longer
	keptHashes    = 64               // newest ones, and as many sparse ones
)

// checkpoint is the rolling hash behind one log entry.
type checkpoint struct {
	index uint64
	hash  [32]byte
}

// checkpoints keeps the newest hashes of a replica, and fewer of an earlier time, so that replicas that are not
// equally far have an index in common. The zero value is ready.
type checkpoints struct {
	mu     sync.Mutex // guards the fields below
	newest []checkpoint
	sparse []checkpoint
}

func (c *checkpoints) add(index uint64, hash [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := checkpoint{index, hash}
	if n := len(c.newest); n > 0 && c.newest[n-1].index/sparseEvery != index/sparseEvery {
		c.sparse = keep(c.sparse, p)
	}
	c.newest = keep(c.newest, p)
}

func keep(list []checkpoint, p checkpoint) []checkpoint {
	if len(list) == keptHashes {
		copy(list, list[1:])
		list = list[:keptHashes-1]
	}
	return append(list, p)
}

// forget drops everything: the state was replaced.
func (c *checkpoints) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest, c.sparse = nil, nil
}

func (c *checkpoints) report(rebuilding bool) report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := report{rebuilding: rebuilding, at: map[uint64][32]byte{}}
	for _, p := range slices.Concat(c.sparse, c.newest) {
		r.at[p.index] = p.hash
	}
	return r
}

// report is what one replica says of itself.
type report struct {
	rebuilding bool
	space      spaceMark
	at         map[uint64][32]byte
}

// verdict is what a replica concludes from the reports.
type verdict uint8

const (
	agrees  verdict = iota // or nothing can be said
	differs                // but no majority of the voters agrees, or another has to be rebuilt first
	outcast                // a majority of the voters agrees on something else
)

// judge compares the reports of a group, its own among them, at the newest index at which a majority of all voters
// agrees. Of those that differ the first by name goes, and nobody while one is being rebuilt.
func judge(self skein.NodeID, voters []skein.NodeID, reports map[skein.NodeID]report) verdict {
	own := reports[self].at
	indexes := make([]uint64, 0, len(own))
	for i := range own {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	found := agrees
	for _, i := range slices.Backward(indexes) {
		votes := map[[32]byte]int{}
		for _, v := range voters {
			if h, ok := reports[v].at[i]; ok {
				votes[h]++
			}
		}
		for h, n := range votes {
			switch {
			case h != own[i]:
				found = differs
				if n > len(voters)/2 {
					return turn(self, i, h, reports)
				}
			case n > len(voters)/2:
				return agrees
			}
		}
	}
	return found
}

// turn decides whether self is the one that goes now.
func turn(self skein.NodeID, index uint64, right [32]byte, reports map[skein.NodeID]report) verdict {
	for id, r := range reports {
		h, ok := r.at[index]
		if id != self && (r.rebuilding || ok && h != right && id < self) {
			return differs
		}
	}
	return outcast
}

// compare looks now and then whether this replica holds what the others hold. One that a majority contradicts hands
// leadership away, leaves the note that it must be rebuilt, and ends.
func (g *Group) compare(ctx context.Context, r *raft.Raft) {
	for {
		select {
		case <-time.After(compareEvery + rand.N(compareEvery/2)):
		case <-ctx.Done():
			return
		}
		voters, reports := g.collect(ctx, r)
		g.space.heard(g.cfg.Node, voters, reports)
		switch judge(g.cfg.Node, voters, reports) {
		case differs:
			g.log.Error("replicas differ", "applied", g.disk.store.mark().index, "voters", voters)
		case outcast:
			g.log.Error("this replica differs from the majority", "applied", g.disk.store.mark().index)
			g.outcast.Store(true)
			err := writeNote(g.cfg.Dir, rebuildFile)
			g.handOver(ctx, r)
			g.fatal(errors.Join(fmt.Errorf("group %d: %w", g.cfg.Group, ErrDiverged), err))
			return
		}
	}
}

// collect asks the members for their reports, one after the other.
func (g *Group) collect(ctx context.Context, r *raft.Raft) (voters []skein.NodeID, reports map[skein.NodeID]report) {
	reports = map[skein.NodeID]report{}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		id := skein.NodeID(s.ID)
		if s.Suffrage == raft.Voter {
			voters = append(voters, id)
		}
		if id == g.cfg.Node {
			continue
		}
		if rep, err := g.askReport(ctx, id); err == nil {
			reports[id] = rep
		} else if ctx.Err() == nil {
			g.log.Debug("hashes not told", "by", id, "err", err)
		}
	}
	reports[g.cfg.Node] = g.machine.passed.report(false) // last: the others are in it, or ahead
	return voters, reports
}

func (g *Group) askReport(ctx context.Context, node skein.NodeID) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, compareWithin)
	defer cancel()
	conn, err := g.cfg.Peers.Dial(ctx, node, Service)
	if err != nil {
		return report{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(compareWithin))
	if _, err := conn.Write([]byte{streamHashes}); err != nil {
		return report{}, err
	}
	return readReport(bufio.NewReader(conn))
}

// tell answers a stream of the kind streamHashes.
func (g *Group) tell(conn net.Conn) error {
	t := g.transport
	rep := g.machine.passed.report(g.raft.Load() == nil || t.fenced.Load())
	_, _, rep.space = g.space.get()
	conn.SetWriteDeadline(time.Now().Add(compareWithin))
	_, err := conn.Write(rep.encode())
	return err
}

// A report travels as a byte, twice the mark of the disk, and 1 for a replica that is being rebuilt; the number of hashes (two bytes, big endian, as
// all of these); each with its index (8 bytes) before it; and a CRC32C over all of that.
const reportHeader = 3

func (r report) encode() []byte {
	buf := make([]byte, reportHeader, reportHeader+len(r.at)*40+4)
	buf[0] = byte(r.space) << 1
	if r.rebuilding {
		buf[0] |= 1
	}
	binary.BigEndian.PutUint16(buf[1:], uint16(len(r.at)))
	for index, hash := range r.at {
		buf = append(binary.BigEndian.AppendUint64(buf, index), hash[:]...)
	}
	return binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
}

func readReport(in io.Reader) (report, error) {
	head := make([]byte, reportHeader)
	if _, err := io.ReadFull(in, head); err != nil {
		return report{}, fmt.Errorf("read hashes: %w", err)
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if head[0]>>1 > byte(hard) || n > 2*keptHashes {
		return report{}, skein.Fault(skein.CodeMalformed, "a report of kind %d with %d hashes", head[0], n)
	}
	body := make([]byte, n*40+4)
	if _, err := io.ReadFull(in, body); err != nil {
		return report{}, fmt.Errorf("read hashes: %w", err)
	}
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body[:n*40])
	if binary.BigEndian.Uint32(body[n*40:]) != sum {
		return report{}, skein.Fault(skein.CodeMalformed, "a report whose checksum does not match")
	}
	r := report{rebuilding: head[0]&1 == 1, space: spaceMark(head[0] >> 1), at: make(map[uint64][32]byte, n)}
	for i := range n {
		r.at[binary.BigEndian.Uint64(body[i*40:])] = [32]byte(body[i*40+8:])
	}
	return r, nil
}

// maxQuarantines bounds how often a replica is rebuilt before somebody has to look at what was set aside.
const maxQuarantines = 8

// mustRebuild reports whether the last run found that this replica differs from the others.
func mustRebuild(dir string) (bool, error) {
	if there, err := hasNote(dir, rebuildFile); !there || err != nil {
		return false, err
	}
	old, err := filepath.Glob(filepath.Join(dir, quarantineAs+"*"))
	if err == nil && len(old) >= maxQuarantines {
		err = fmt.Errorf("data directory %s: the replica differs from the others, and it was set aside %d times before: "+
			"look into memory and disk of this machine, then remove the directories %s* and start again", dir, len(old), quarantineAs)
	}
	return err == nil, err
}
