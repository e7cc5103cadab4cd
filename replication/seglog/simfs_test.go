package seglog

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

var errPower = errors.New("the power is gone")

const sector = 512

// simFS is one directory of a disk that loses power: writes, and changes of names, that no sync has made durable are
// then dropped, torn at sectors or kept in any order.
type simFS struct {
	mu      sync.Mutex
	rng     *rand.Rand
	left    int             // steps before the power fails; negative: none
	op      string          // what the log is doing, part of a sync's kind
	ignore  string          // kind of sync that does nothing
	kinds   map[string]bool // of syncs seen
	made    bool            // the directory is durable
	opening bool            // the directory has not been synced since MakeDir
	names   map[string]*inode
	durable map[string]*inode
	changes []change // since the last directory sync
	powered int      // counts power losses: older handles are dead
}

type inode struct {
	name    string // the last one
	data    []byte // as it is read
	durable []byte
	writes  []write // since the last sync
}

type write struct {
	at   int
	data []byte
}

// change of names: a name that is added, one that goes, or both.
type change struct {
	add, drop string
	node      *inode
}

func newSimFS(seed uint64) *simFS {
	return &simFS{rng: rand.New(rand.NewPCG(seed, 1)), left: -1, kinds: map[string]bool{}, names: map[string]*inode{}, durable: map[string]*inode{}}
}

// step takes one step; the one in which the power fails may have happened in part.
func (s *simFS) step() error {
	if s.left == 0 {
		return errPower
	}
	if s.left > 0 {
		s.left--
	}
	return nil
}

// syncs notes a kind of sync and reports whether it works.
func (s *simFS) syncs(what string) bool {
	kind := s.op + ": " + what
	s.kinds[kind] = true
	return kind != s.ignore
}

func (s *simFS) MakeDir(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.step(); err != nil {
		return err
	}
	if s.syncs("parent directory") {
		s.made = true
	}
	s.opening = true
	return nil
}

func (s *simFS) List(string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names)), nil
}

func (s *simFS) alter(c change) error {
	err := s.step()
	s.changes = append(s.changes, c)
	if err == nil {
		apply(s.names, c)
	}
	return err
}

func apply(names map[string]*inode, c change) {
	if c.drop != "" {
		delete(names, c.drop)
	}
	if c.add != "" {
		names[c.add] = c.node
		c.node.name = c.add
	}
}

func (s *simFS) Create(path string) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := &inode{}
	if err := s.alter(change{add: filepath.Base(path), node: node}); err != nil {
		return nil, err
	}
	return &simFile{fs: s, inode: node, powered: s.powered}, nil
}

func (s *simFS) Open(path string) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.names[filepath.Base(path)]
	if node == nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	return &simFile{fs: s, inode: node, powered: s.powered}, nil
}

func (s *simFS) Rename(from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to = filepath.Base(from), filepath.Base(to)
	return s.alter(change{add: to, drop: from, node: s.names[from]})
}

func (s *simFS) Remove(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[filepath.Base(path)] == nil {
		return os.ErrNotExist
	}
	return s.alter(change{drop: filepath.Base(path)})
}

func (s *simFS) SyncDir(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.step(); err != nil {
		return err
	}
	what := "directory"
	if n := len(s.changes); s.opening {
		what += " before it is read"
	} else if n > 0 {
		what += map[bool]string{true: " after a new name", false: " after a removal"}[s.changes[n-1].add != ""]
	}
	s.opening = false
	if s.syncs(what) {
		s.durable, s.changes = maps.Clone(s.names), nil
	}
	return nil
}

// fail takes the power away: what is not durable is settled by chance, and all handles are dead.
func (s *simFS) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.powered++
	s.left = -1
	settle := s.rng.IntN(4) // nothing, everything, a beginning, any
	keep := s.rng.IntN(len(s.changes) + 1)
	for i, c := range s.changes {
		if settle == 1 || settle == 2 && i < keep || settle == 3 && s.rng.IntN(2) == 0 {
			apply(s.durable, c)
		}
	}
	if !s.made && s.rng.IntN(2) == 0 {
		clear(s.durable)
	}
	s.changes, s.names = nil, maps.Clone(s.durable)
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		s.names[name].settle(s.rng)
	}
}

// settle decides what of the writes since the last sync is on the disk.
func (n *inode) settle(rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0: // nothing
	case 1: // everything
		n.durable = n.data
	case 2: // a beginning; the last write of it is torn
		keep := rng.IntN(len(n.writes) + 1)
		for i, w := range n.writes[:keep] {
			if i == keep-1 {
				w.data = w.data[:min(len(w.data), rng.IntN(len(w.data)/sector+1)*sector+(sector-w.at%sector)%sector)]
			}
			n.durable = put(n.durable, w)
		}
	case 3: // sectors in any order
		for _, w := range n.writes {
			for at := 0; at < len(w.data); {
				end := min(len(w.data), at+sector-(w.at+at)%sector)
				if rng.IntN(2) == 0 {
					n.durable = put(n.durable, write{at: w.at + at, data: w.data[at:end]})
				}
				at = end
			}
		}
	}
	n.data, n.writes = slices.Clone(n.durable), nil
	n.durable = slices.Clone(n.durable)
}

func put(data []byte, w write) []byte {
	if grow := w.at + len(w.data) - len(data); grow > 0 {
		data = append(data, make([]byte, grow)...)
	}
	copy(data[w.at:], w.data)
	return data
}

type simFile struct {
	fs      *simFS
	inode   *inode
	powered int
	closed  bool
}

func (f *simFile) check() error {
	switch {
	case f.closed:
		return os.ErrClosed
	case f.powered != f.fs.powered:
		return errPower
	}
	return nil
}

func (f *simFile) ReadAt(buf []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check(); err != nil {
		return 0, err
	}
	if at >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(buf, f.inode.data[at:])
	if n < len(buf) {
		return n, io.EOF
	}
	return n, nil
}

func (f *simFile) WriteAt(buf []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check(); err != nil {
		return 0, err
	}
	err := f.fs.step()
	w := write{at: int(at), data: slices.Clone(buf)}
	f.inode.writes = append(f.inode.writes, w)
	f.inode.data = put(f.inode.data, w)
	return len(buf), err
}

func (f *simFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check(); err != nil {
		return err
	}
	if err := f.fs.step(); err != nil {
		return err
	}
	what := "log"
	if strings.HasPrefix(f.inode.name, stableName) {
		what = "stable file"
	}
	if strings.HasSuffix(f.inode.name, newSuffix) {
		what = "new " + what
	}
	if f.fs.syncs(what) {
		f.inode.durable, f.inode.writes = slices.Clone(f.inode.data), nil
	}
	return nil
}

func (f *simFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.inode.data)), f.check()
}

func (f *simFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.closed = true
	return nil
}
