package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// tempPrefix begins the names of files that are being written; no key begins so.
const tempPrefix = ".incoming-"

// Dir is a Store below a directory of this host, which may be a mounted file system.
type Dir struct{ root string }

var _ Store = (*Dir)(nil)

// OpenDir opens root. It is made if it does not exist, but not what is above it: a file system that is not mounted
// must not be mistaken for an empty one.
func OpenDir(root string) (*Dir, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("directory %q: want an absolute path", root)
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("directory %s: %s does not exist: make it, or mount what belongs there", root, filepath.Dir(root))
		}
		return nil, fmt.Errorf("directory %s: %w", root, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", root, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory", root)
	}
	return &Dir{root: root}, nil
}

// Put satisfies Store: the object is written under a temporary name, synced and renamed.
func (d *Dir) Put(ctx context.Context, key string, r io.Reader, size int64) (err error) {
	if err := CheckKey(key); err != nil {
		return err
	}
	path := filepath.Join(d.root, filepath.FromSlash(key))
	if err := makeDirs(d.root, filepath.Dir(path)); err != nil {
		return d.fault("write", key, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return d.fault("write", key, err)
	}
	n, err := io.Copy(f, &ctxReader{ctx, r})
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, not %d", n, size)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(f.Name())
		return d.fault("write", key, err)
	}
	return nil
}

func (d *Dir) fault(what, key string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s %s in %s: %w: make room or name another place; what was there is untouched", what, key, d.root, ErrNoSpace)
	}
	return fmt.Errorf("%s %s in %s: %w", what, key, d.root, err)
}

// makeDirs makes what is missing between root and dir, each synced into the one above.
func makeDirs(root, dir string) error {
	if dir == root {
		return nil
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeDirs(root, filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Get satisfies Store.
func (d *Dir) Get(_ context.Context, key string) (io.ReadCloser, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(d.root, filepath.FromSlash(key)))
	if err != nil {
		return nil, d.fault("read", key, err)
	}
	return f, nil
}

// List satisfies Store.
func (d *Dir) List(ctx context.Context, prefix string) ([]Object, error) {
	var out []Object
	start := filepath.Join(d.root, filepath.FromSlash(prefix[:strings.LastIndexByte(prefix, '/')+1]))
	err := filepath.WalkDir(start, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone meanwhile, or never there
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case e.IsDir() && path != start && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !e.Type().IsRegular() || strings.HasPrefix(e.Name(), "."):
			return nil
		}
		rel, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(rel)
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(key, prefix) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(out) == MaxObjects {
			return fmt.Errorf("more than %d files", MaxObjects)
		}
		out = append(out, Object{Key: key, Size: info.Size(), Modified: info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, d.fault("list", prefix, err)
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Delete satisfies Store; directories that become empty go too.
func (d *Dir) Delete(_ context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	path := filepath.Join(d.root, filepath.FromSlash(key))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.fault("remove", key, err)
	}
	for dir := filepath.Dir(path); dir != d.root; dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // not empty
			break
		}
	}
	return nil
}

// ctxReader ends a copy when its context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
