package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
)

// Entry is one backup of a list. Err says why its manifest is refused; then only Name is known.
type Entry struct {
	Manifest
	Err error
}

// List gives the complete backups of a region, the newest first.
func List(ctx context.Context, s Store, key Key, region skein.Region) ([]Entry, error) {
	found, err := scan(ctx, s, region)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, f := range found {
		if !f.complete {
			continue
		}
		m, err := Load(ctx, s, key, region, f.name)
		if err != nil {
			out = append(out, Entry{Manifest: Manifest{Region: region, Name: f.name}, Err: err})
			continue
		}
		out = append(out, Entry{Manifest: *m})
	}
	return out, nil
}

// folderFound is what a list of objects shows of one backup.
type folderFound struct {
	name     string
	complete bool // there is a manifest
	keys     []string
	newest   time.Time
}

// scan lists the backups of a region, unfinished ones too, the newest first.
func scan(ctx context.Context, s Store, region skein.Region) ([]*folderFound, error) {
	prefix := string(region) + "/backups/"
	objects, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var out []*folderFound
	for _, o := range objects { // in the order of their keys
		name, file, ok := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
		if !ok || !validBackup(name) {
			continue
		}
		if len(out) == 0 || out[len(out)-1].name != name {
			out = append(out, &folderFound{name: name})
		}
		f := out[len(out)-1]
		f.complete = f.complete || file == "manifest"
		f.keys = append(f.keys, o.Key)
		if o.Modified.After(f.newest) {
			f.newest = o.Modified
		}
	}
	slices.Reverse(out)
	return out, nil
}

// Load reads the manifest of one backup; name "" is the newest.
func Load(ctx context.Context, s Store, key Key, region skein.Region, name string) (*Manifest, error) {
	if name == "" {
		found, err := scan(ctx, s, region)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(found, func(f *folderFound) bool { return f.complete })
		if i < 0 {
			return nil, noneOf(ctx, s, region)
		}
		name = found[i].name
	}
	if !validBackup(name) {
		return nil, fmt.Errorf("%.80q is no name of a backup: `skein backup list` shows them", name)
	}
	data, err := ReadObject(ctx, s, manifestKey(region, name), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no complete backup %s of region %s: `skein backup list` shows those that there are", name, region)
	}
	if err != nil {
		return nil, err
	}
	m, err := DecodeManifest(data, key)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", name, err)
	}
	if m.Region != region || m.Name != name {
		return nil, fmt.Errorf("backup %s: %w: it lies in the place of another, %s of region %s", name, ErrCorrupt, m.Name, m.Region)
	}
	return m, nil
}

// noneOf says that a region has no backup, and which regions have one.
func noneOf(ctx context.Context, s Store, region skein.Region) error {
	objects, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	var others []string
	for _, o := range objects {
		other, rest, _ := strings.Cut(o.Key, "/")
		if strings.HasPrefix(rest, "backups/") && strings.HasSuffix(rest, "/manifest") && !slices.Contains(others, other) {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		return fmt.Errorf("there is no backup here, of no region")
	}
	return fmt.Errorf("there is no backup of region %s here, only of %s", region, strings.Join(others, ", "))
}

// OpenPart reads the state of a group. The reader's last bytes come with an error when anything of the part differs from the
// manifest: nothing of it may be used before io.EOF.
func OpenPart(ctx context.Context, s Store, key Key, m *Manifest, group uint32) (io.ReadCloser, error) {
	if int(group) >= len(m.Parts) {
		return nil, fmt.Errorf("backup %s has no group %d", m.Name, group)
	}
	part, object := &m.Parts[group], partKey(m, group)
	body, err := s.Get(ctx, object)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("backup %s: %w: %s is missing", m.Name, ErrCorrupt, object)
	}
	if err != nil {
		return nil, err
	}
	p := &partReader{part: part, object: object, body: body, sums: newSums(key)}
	if p.plain, err = key.Open(io.TeeReader(io.LimitReader(&cutReader{body}, part.Stored+1), p.sums)); err != nil {
		body.Close()
		return nil, fmt.Errorf("%s: %w", object, err)
	}
	return p, nil
}

type partReader struct {
	part   *Part
	object string
	body   io.Closer
	plain  io.Reader
	sums   *sums
	n      int64
}

// Read gives the state; its end is io.EOF only if all checksums are right.
func (p *partReader) Read(buf []byte) (int, error) {
	n, err := p.plain.Read(buf)
	p.n += int64(n)
	if err == io.EOF {
		sha, mac := p.sums.hex()
		if p.n != p.part.Size || sha != p.part.SHA256 || mac != p.part.HMAC {
			return n, fmt.Errorf("%s: %w: its size or checksums are not those of the manifest", p.object, ErrCorrupt)
		}
		return n, io.EOF
	}
	if err != nil {
		return n, fmt.Errorf("%s: %w", p.object, err)
	}
	return n, nil
}

// Close ends the read.
func (p *partReader) Close() error { return p.body.Close() }

// cutReader tells a connection that was cut from an object that ends early.
type cutReader struct{ r io.Reader }

func (c *cutReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = errors.New("the connection to the store was cut: try again")
	}
	return n, err
}
