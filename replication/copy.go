package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// Standing is where a state stands: what it must have again after it was carried elsewhere and back.
type Standing struct {
	Index, Term uint64 // of the last log entry in it
	Sessions    uint64
	Hash        [32]byte // rolling, over all events up to Index
	Size        int64    // bytes of the state file
}

// Copy is the state of a replica at one index, in an unnamed file on the replica's disk. Read gives the state file; Close
// frees the space.
type Copy struct {
	Standing
	Epoch uint64 // of the group's cluster
	file  *os.File
}

// Read satisfies io.Reader.
func (c *Copy) Read(p []byte) (int, error) { return c.file.Read(p) }

// Close frees the copy.
func (c *Copy) Close() error { return c.file.Close() }

// copyRoom is what a copy leaves free on the disk, in bytes, below which the group itself runs short.
const copyRoom = 1 << 30

// Reached gives an index that has everything in it that was acknowledged before the call. Only the leader can tell: elsewhere the
// error is skein.ErrNoQuorum.
func (g *Group) Reached(ctx context.Context) (uint64, error) {
	if err := g.barrier(ctx); err != nil {
		return 0, overWire(err)
	}
	return g.disk.store.mark().index, nil
}

// Copy takes a copy of the local replica once it has reached index after, or fails when ctx ends. It is of one index,
// takes as much disk as the state file while it is open, is made no faster than the turns beside it bear, and is refused with skein.CodeStorageFull where that would leave too
// little. A node without an up-to-date replica refuses with skein.CodeRefused.
func (g *Group) Copy(ctx context.Context, after uint64) (*Copy, error) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for g.disk.store.mark().index < after || !g.fresh() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, skein.Fault(skein.CodeRefused, "node %s has no replica of group %d that is up to date: it is at %d, %d is wanted",
				g.cfg.Node, g.cfg.Group, g.disk.store.mark().index, after)
		case <-g.closing:
			return nil, skein.Fault(skein.CodeRefused, "node %s is stopping", g.cfg.Node)
		}
	}
	if err := g.disk.store.flush(); err != nil {
		g.fatal(err)
		return nil, err
	}
	if free, total, _ := g.space.get(); total > 0 {
		if size, err := g.disk.store.fileSize(); err != nil || free < uint64(size)+min(copyRoom, total/20) {
			return nil, errors.Join(err, skein.Fault(skein.CodeStorageFull, "a copy of group %d takes %d bytes beside the state for a while, and %d are free on the disk of %s",
				g.cfg.Group, size, free, g.cfg.Node))
		}
	}
	c := &Copy{}
	c.Epoch, _ = g.epochs.get()
	return c, g.disk.store.copyTo(c, g.cfg.Dir, g.closing)
}

func (s *store) fileSize() (size int64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		size = tx.Size()
		return nil
	})
	return size, err
}

// copyTo fills c from one transaction, at the pace of a copy, and gives up when stop is closed. The file has no name from the start, so
// that a crash leaves nothing.
func (s *store) copyTo(c *Copy, dir string, stop <-chan struct{}) error {
	f, err := os.CreateTemp(dir, "incoming-copy-")
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("copy: %w", err), f.Close())
	}
	w := newCopyWriter(f, stop)
	err = s.view(func(tx *bolt.Tx) error {
		at, err := readMark(tx)
		if err != nil {
			return err
		}
		c.Standing = at.standing(tx.Size())
		n, err := tx.WriteTo(w)
		if err == nil && n != c.Size {
			err = io.ErrShortWrite
		}
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy: %w", err), f.Close())
	}
	c.file = f
	return nil
}

func (m mark) standing(size int64) Standing {
	return Standing{Index: m.index, Term: m.term, Sessions: m.sessions, Hash: m.hash, Size: size}
}
