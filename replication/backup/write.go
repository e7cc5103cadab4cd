package backup

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"
)

const partLabel = "part"

// Source gives the state of a group: what is known of it, and its bytes.
type Source func(ctx context.Context, group uint32) (Part, io.ReadCloser, error)

// Write makes a backup of all groups. m says whose it is; Name, At and Parts are filled in. The manifest, and with it
// the backup, appears last. After an error nothing new is listed; what was stored of it is removed, now or by Prune.
func Write(ctx context.Context, s Store, key Key, m Manifest, open Source) (*Manifest, error) {
	began := time.Now()
	m.Format, m.Mesh, m.MeshID = formatVersion, key.mesh, key.id
	m.At = began.UTC().Truncate(time.Millisecond)
	m.Name, m.Parts = newName(m.At), nil
	err := writeParts(ctx, s, key, &m, open)
	if err == nil {
		m.Took = time.Since(began).Milliseconds()
		err = writeManifest(ctx, s, key, &m)
	}
	if err != nil {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		removeParts(tidy, s, &m) //nolint:errcheck // Prune finds what is left
		return nil, err
	}
	return &m, nil
}

func writeParts(ctx context.Context, s Store, key Key, m *Manifest, open Source) error {
	for group := range uint32(m.Groups) {
		part, err := writePart(ctx, s, key, partKey(m, group), func() (Part, io.ReadCloser, error) { return open(ctx, group) })
		if err != nil {
			return fmt.Errorf("group %d: %w", group, err)
		}
		part.Group = group
		m.Epoch = max(m.Epoch, part.Epoch)
		m.Parts = append(m.Parts, part)
	}
	return nil
}

func writePart(ctx context.Context, s Store, key Key, object string, open func() (Part, io.ReadCloser, error)) (Part, error) {
	part, r, err := open()
	if err != nil {
		return part, err
	}
	defer r.Close()
	sealed, err := key.Seal(io.LimitReader(r, part.Size+1)) // one more shows that there is more than was said
	if err != nil {
		return part, err
	}
	part.Stored = SealedSize(part.Size)
	sums := newSums(key)
	if err := s.Put(ctx, object, io.TeeReader(sealed, sums), part.Stored); err != nil {
		return part, err
	}
	if sums.n != part.Stored {
		return part, fmt.Errorf("%d bytes were stored, not %d", sums.n, part.Stored)
	}
	part.SHA256, part.HMAC = sums.hex()
	return part, nil
}

func writeManifest(ctx context.Context, s Store, key Key, m *Manifest) error {
	data, err := m.Encode(key)
	if err != nil {
		return err
	}
	if _, err := DecodeManifest(data, key); err != nil { // what a replica said of itself
		return err
	}
	return s.Put(ctx, manifestKey(m.Region, m.Name), bytes.NewReader(data), int64(len(data)))
}

func removeParts(ctx context.Context, s Store, m *Manifest) error {
	for group := range uint32(m.Groups) {
		if err := s.Delete(ctx, partKey(m, group)); err != nil {
			return err
		}
	}
	return nil
}

// sums takes both checksums of an object as it passes.
type sums struct {
	plain, keyed hash.Hash
	n            int64
}

func newSums(key Key) *sums {
	s := &sums{plain: sha256.New(), keyed: hmac.New(sha256.New, key.auth)}
	s.keyed.Write([]byte(partLabel + "\x00"))
	return s
}

func (s *sums) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	s.plain.Write(p)
	return s.keyed.Write(p)
}

func (s *sums) hex() (sha, mac string) {
	return hex.EncodeToString(s.plain.Sum(nil)), hex.EncodeToString(s.keyed.Sum(nil))
}
