package powerfs

import (
	"context"
	"maps"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	kernel "github.com/hanwen/go-fuse/v2/fuse"
)

// node shows a file of a Disk to the kernel.
type node struct {
	fs.Inode
	disk *Disk
	file *file
}

var _ = (interface {
	fs.NodeLookuper
	fs.NodeGetattrer
	fs.NodeSetattrer
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
	fs.NodeReaddirer
	fs.NodeMkdirer
	fs.NodeCreater
	fs.NodeUnlinker
	fs.NodeRmdirer
	fs.NodeRenamer
})((*node)(nil))

func (f *file) kernelMode() uint32 {
	if f.dir {
		return syscall.S_IFDIR | f.mode
	}
	return syscall.S_IFREG | f.mode
}

func (n *node) attr(f *file, out *kernel.Attr) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	out.Ino, out.Mode, out.Size, out.Nlink = f.ino, f.kernelMode(), uint64(len(f.data)), 1
}

func (n *node) child(ctx context.Context, f *file, out *kernel.EntryOut) *fs.Inode {
	n.attr(f, &out.Attr)
	return n.NewInode(ctx, &node{disk: n.disk, file: f}, fs.StableAttr{Mode: f.kernelMode() & syscall.S_IFMT, Ino: f.ino})
}

// Lookup finds a name in a directory.
func (n *node) Lookup(ctx context.Context, name string, out *kernel.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	f := n.file.names[name]
	n.disk.mu.Unlock()
	if f == nil {
		return nil, syscall.ENOENT
	}
	return n.child(ctx, f, out), 0
}

// Getattr gives mode and size.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *kernel.AttrOut) syscall.Errno {
	n.attr(n.file, &out.Attr)
	return 0
}

// Setattr changes the size; other attributes are of no use here.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *kernel.SetAttrIn, out *kernel.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		n.disk.resize(n.file, int(size))
	}
	n.attr(n.file, &out.Attr)
	return 0
}

// Open needs no handle.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_TRUNC != 0 {
		n.disk.resize(n.file, 0)
	}
	return nil, 0, 0
}

// Read reads what was written, durable or not.
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (kernel.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if at >= int64(len(n.file.data)) {
		return kernel.ReadResultData(nil), 0
	}
	return kernel.ReadResultData(dest[:copy(dest, n.file.data[at:])]), 0
}

// Write notes a write.
func (n *node) Write(ctx context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	if errno := n.disk.admit(ctx, n.file, false); errno != 0 {
		return 0, errno
	}
	n.disk.write(n.file, data, int(at))
	return uint32(len(data)), 0
}

// Fsync makes durable, a directory's names too.
func (n *node) Fsync(ctx context.Context, _ fs.FileHandle, _ uint32) syscall.Errno {
	if errno := n.disk.admit(ctx, n.file, true); errno != 0 {
		return errno
	}
	n.disk.sync(n.file)
	return 0
}

// Readdir lists a directory.
func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	var list []kernel.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.file.names)) {
		f := n.file.names[name]
		list = append(list, kernel.DirEntry{Name: name, Mode: f.kernelMode(), Ino: f.ino})
	}
	return fs.NewListDirStream(list), 0
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *kernel.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.child(ctx, n.disk.create(n.file, name, true, mode&0o777), out), 0
}

// Create makes a file.
func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *kernel.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return n.child(ctx, n.disk.create(n.file, name, false, mode&0o777), out), nil, 0, 0
}

// Unlink removes a name.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.disk.remove(n.file, name)
}

// Rmdir removes an empty directory.
func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return n.disk.remove(n.file, name)
}

// Rename moves a file.
func (n *node) Rename(_ context.Context, name string, to fs.InodeEmbedder, as string, flags uint32) syscall.Errno {
	dir, ok := to.EmbeddedInode().Operations().(*node)
	if !ok || flags != 0 {
		return syscall.ENOTSUP
	}
	return n.disk.rename(n.file, name, dir.file, as)
}
