package powerfs

import (
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Disk is a file system in memory. All methods may be called from several goroutines.
type Disk struct {
	mu     sync.Mutex // guards the fields below and all files
	root   *file
	ino    uint64
	ignore string
	kinds  map[string]int
	fuse   *fuse                // nil: the power does not fail
	sick   map[string]*sickness // by the path of a tree
	image  *file                // what fuse's subtree held when the power failed
}

// fuse fails the power of a subtree.
type fuse struct {
	sub  string
	left int // steps
}

// file is a file or a directory.
type file struct {
	ino     uint64
	name    string // the last one
	up      *file
	dir     bool
	mode    uint32
	data    []byte // as it is read
	durable []byte
	writes  []write // since the last sync, or the newest of them
	held    int     // bytes in writes

	names   map[string]*file // as they are read
	synced  map[string]*file
	changes []change // since the last sync, or the newest of them
}

// write is a change of a file's content, or of its size.
type write struct {
	at   int
	data []byte
	cut  bool // the file has at bytes from here on
}

// change is one of a directory's names: one that is added, one that goes, or both.
type change struct {
	add, drop string
	file      *file
	to        *file // drop alone: the directory to which the file went
}

// NewDisk makes an empty one.
func NewDisk() *Disk {
	d := &Disk{kinds: map[string]int{}, sick: map[string]*sickness{}}
	d.root = d.make(true, 0o700)
	return d
}

// make needs mu, but for NewDisk.
func (d *Disk) make(dir bool, mode uint32) *file {
	d.ino++
	f := &file{ino: d.ino, dir: dir, mode: mode}
	if dir {
		f.names, f.synced = map[string]*file{}, map[string]*file{}
	}
	return f
}

// where gives the path of a file below the root.
func (f *file) where() string {
	if f == nil || f.up == nil {
		return ""
	}
	return path.Join(f.up.where(), f.name)
}

// step counts a change of something below f. It needs mu.
func (d *Disk) step(f *file) {
	if d.fuse == nil || d.image != nil {
		return
	}
	at := f.where()
	if at != d.fuse.sub && !strings.HasPrefix(at, d.fuse.sub+"/") {
		return
	}
	if d.fuse.left--; d.fuse.left >= 0 {
		return
	}
	d.image = d.find(d.fuse.sub).clone(nil, map[*file]*file{})
}

// find gives the file at a path, nil when there is none. It needs mu.
func (d *Disk) find(at string) *file {
	f := d.root
	for _, name := range strings.Split(at, "/") {
		if f == nil || name == "" || name == "." {
			continue
		}
		f = f.names[name]
	}
	return f
}

// alter changes names of a directory. It needs mu.
func (d *Disk) alter(dir *file, c change) {
	if dir == d.root { // which is nobody's to lose, and would keep all that ever was
		apply(dir.synced, c)
	} else {
		dir.note(c)
	}
	apply(dir.names, c)
	if c.add != "" {
		c.file.name, c.file.up = c.add, dir
	}
	d.step(dir)
}

func apply(names map[string]*file, c change) {
	if c.drop != "" {
		delete(names, c.drop)
	}
	if c.add != "" {
		names[c.add] = c.file
	}
}

func (d *Disk) create(dir *file, name string, isDir bool, mode uint32) *file {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.make(isDir, mode)
	d.alter(dir, change{add: name, file: f})
	return f
}

func (d *Disk) remove(dir *file, name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := dir.names[name]
	switch {
	case f == nil:
		return syscall.ENOENT
	case f.dir && len(f.names) > 0:
		return syscall.ENOTEMPTY
	}
	d.alter(dir, change{drop: name, file: f})
	return 0
}

func (d *Disk) rename(dir *file, name string, to *file, as string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := dir.names[name]
	if f == nil {
		return syscall.ENOENT
	}
	if dir == to {
		d.alter(dir, change{add: as, drop: name, file: f})
		return 0
	}
	to.note(change{add: as, file: f})
	apply(to.names, change{add: as, file: f})
	d.alter(dir, change{drop: name, file: f, to: to})
	f.name, f.up = as, to
	return 0
}

func (d *Disk) write(f *file, buf []byte, at int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.put(write{at: at, data: slices.Clone(buf)})
	d.step(f)
}

func (d *Disk) resize(f *file, size int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.put(write{at: size, cut: true})
	d.step(f)
}

// put gives data with the write in it. data may be changed.
func (w write) put(data []byte) []byte {
	end := w.at + len(w.data)
	if grow := end - len(data); grow > 0 {
		data = append(data, make([]byte, grow)...)
	}
	if w.cut {
		return data[:w.at]
	}
	copy(data[w.at:], w.data)
	return data
}

// sync makes a file's content or a directory's names durable, unless its kind is switched off.
func (d *Disk) sync(f *file) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step(f)
	kind := f.kind()
	if kind == "" { // there is nothing to sync
		return
	}
	if d.fuse != nil { // what comes before is preparation
		d.kinds[kind]++
		if kind == d.ignore {
			return
		}
	}
	if f.dir {
		f.synced, f.changes = cloneNames(f.names), nil
		return
	}
	f.writeBack(len(f.writes))
}

func cloneNames(names map[string]*file) map[string]*file {
	out := make(map[string]*file, len(names))
	for name, f := range names {
		out[name] = f
	}
	return out
}

// clone copies a tree, durable or not; done holds what is copied already.
func (f *file) clone(up *file, done map[*file]*file) *file {
	if c := done[f]; c != nil {
		if c.up == nil {
			c.up = up
		}
		return c
	}
	c := &file{ino: f.ino, name: f.name, up: up, dir: f.dir, mode: f.mode, data: slices.Clone(f.data), durable: slices.Clone(f.durable), writes: slices.Clone(f.writes), held: f.held}
	done[f] = c
	if !f.dir {
		return c
	}
	c.names, c.synced = map[string]*file{}, map[string]*file{}
	for name, x := range f.names {
		c.names[name] = x.clone(c, done)
	}
	for name, x := range f.synced {
		c.synced[name] = x.clone(c, done)
	}
	for _, ch := range f.changes {
		ch.file = ch.file.clone(c, done)
		if ch.to != nil {
			ch.to = ch.to.clone(nil, done)
		}
		c.changes = append(c.changes, ch)
	}
	return c
}
