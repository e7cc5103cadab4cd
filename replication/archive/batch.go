package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/session"
)

const (
	formatVersion = 1
	maxManifest   = 1 << 20
	maxEntries    = 4096     // sessions of one batch
	maxLine       = 16 << 20 // bytes
	maxStored     = 1 << 30
	maxSession    = maxStored / 2 // bytes of a batch with its last session: a sealed one is hardly larger
	batchBytes    = 64 << 20      // of lines, from which on a batch takes no more sessions
	manifestLabel = "archive manifest"
	sessionLabel  = "archive session"
	subjectLabel  = "archive subject"
	dayForm       = "2006-01-02"
)

// Session is one closed session that goes into a batch.
type Session struct {
	ID      skein.SessionID
	Subject skein.Subject
	Seq     skein.Seq // at which it is archived
	// Events gives its kept events behind a sequence number, oldest first; none at the end.
	Events func(ctx context.Context, after skein.Seq) ([]session.Event, error)
}

// Place says where batches go: of which region, group and day.
type Place struct {
	Region skein.Region
	Group  uint32
	Day    time.Time
}

func (p Place) folder() string {
	return fmt.Sprintf("%s/archive/group-%d/%s/", p.Region, p.Group, p.Day.UTC().Format(dayForm))
}

// manifest says what is in a batch.
type manifest struct {
	Format int     `json:"format"`
	MeshID string  `json:"mesh_id"` // see backup.Key.ID
	Object string  `json:"object"`  // the key of the lines
	Stored int64   `json:"stored"`  // its bytes
	SHA256 string  `json:"sha256"`  // of it, hexadecimal
	HMAC   string  `json:"hmac"`    // of its SHA-256, under the mesh's key
	Lines  int     `json:"lines"`
	Kept   []entry `json:"kept"`
}

// entry is one session of a batch, by keyed hashes of its names.
type entry struct {
	Session string    `json:"session"`
	Subject string    `json:"subject"`
	Seq     skein.Seq `json:"seq"`
}

// Written says what became of the sessions given to Write.
type Written struct {
	Seen int // so many of them, from the first; the others are for the next batch
	// Unread holds those of them that are not in the batch, and why their events could not be read.
	Unread map[skein.SessionID]error
}

// Write stores a batch of sessions: as many, from the first, as have about 64 MiB of lines, but at least one. One whose events cannot be read
// is left out. An error means that nothing is stored for certain.
func Write(ctx context.Context, s backup.Store, key backup.Key, at Place, sessions []Session) (Written, error) {
	if len(sessions) == 0 || len(sessions) > maxEntries {
		return Written{}, fmt.Errorf("a batch of %d sessions: want 1 to %d", len(sessions), maxEntries)
	}
	b := newBatch(key)
	done := Written{Unread: map[skein.SessionID]error{}}
	for done.Seen < len(sessions) && b.bytes < batchBytes {
		one := &sessions[done.Seen]
		done.Seen++
		if err := b.add(ctx, one); err != nil {
			if ctx.Err() != nil {
				return Written{}, ctx.Err()
			}
			done.Unread[one.ID] = err
		}
	}
	if len(b.m.Kept) == 0 {
		return done, nil
	}
	return done, b.store(ctx, s, at.folder())
}

// batch gathers lines, compressed in memory.
type batch struct {
	key   backup.Key
	m     manifest
	buf   bytes.Buffer
	zip   *gzip.Writer
	bytes int // of lines
}

func newBatch(key backup.Key) *batch {
	b := &batch{key: key, m: manifest{Format: formatVersion, MeshID: key.ID()}}
	b.zip = gzip.NewWriter(&b.buf)
	return b
}

// add takes in a session as a compressed stream of its own, so that one that cannot be read to its end is taken out again. Streams one
// behind the other are read as one.
func (b *batch) add(ctx context.Context, one *Session) error {
	stored, lines, size := b.buf.Len(), b.m.Lines, b.bytes
	b.zip.Reset(&b.buf)
	err := b.lines(ctx, one)
	if err == nil {
		err = b.zip.Close()
	}
	if err != nil {
		b.buf.Truncate(stored)
		b.m.Lines, b.bytes = lines, size
		return err
	}
	b.note(entry{b.key.MAC(sessionLabel, []byte(one.ID)), b.key.MAC(subjectLabel, []byte(one.Subject)), one.Seq})
	return nil
}

// lines writes those of one session.
func (b *batch) lines(ctx context.Context, one *Session) error {
	for after := skein.Seq(0); ; {
		events, err := one.Events(ctx, after)
		if err == nil && len(events) == 0 && after != one.Seq {
			err = fmt.Errorf("its events end at %d, not at %d: it has moved on, or was read where it is not whole", after, one.Seq)
		}
		if err != nil || len(events) == 0 {
			return err
		}
		for i := range events {
			line, err := json.Marshal(lineOf(&events[i]))
			if err == nil {
				err = b.line(line)
			}
			if err != nil {
				return err
			}
		}
		if after = events[len(events)-1].Seq; b.buf.Len() > maxSession {
			return fmt.Errorf("it has more than %d bytes, compressed", maxSession)
		}
	}
}

func (b *batch) line(line []byte) error {
	b.m.Lines++
	b.bytes += len(line) + 1
	_, err := b.zip.Write(append(line, '\n'))
	return err
}

func (b *batch) note(e entry) { b.m.Kept = append(b.m.Kept, e) }

// store writes the lines and then the manifest. The name follows from the sealed lines, and those from the events: what is written
// twice, after a crash or by a leader that was replaced meanwhile, is the same object, and no object is ever replaced by another
// one, which the manifest of a writer that came before would not fit.
func (b *batch) store(ctx context.Context, s backup.Store, folder string) error {
	sealed, err := b.key.SealSame(b.buf.Bytes())
	if err != nil {
		return err
	}
	if len(sealed) > maxStored {
		return fmt.Errorf("a batch of %d bytes: want %d at most", len(sealed), maxStored)
	}
	sum := sha256.Sum256(sealed)
	b.m.Object = folder + hex.EncodeToString(sum[:12])
	b.m.Stored, b.m.SHA256 = int64(len(sealed)), hex.EncodeToString(sum[:])
	b.m.HMAC = b.key.MAC(manifestLabel, []byte(b.m.SHA256))
	if err := s.Put(ctx, b.m.Object, bytes.NewReader(sealed), b.m.Stored); err != nil {
		return err
	}
	data, err := b.m.encode(b.key)
	if err != nil {
		return err
	}
	if err := s.Put(ctx, b.m.Object+".manifest", bytes.NewReader(data), int64(len(data))); err != nil {
		return err
	}
	// Prune may have taken what an earlier try had left under this name for a leftover.
	objects, err := s.List(ctx, b.m.Object)
	if err == nil && !slices.ContainsFunc(objects, func(o backup.Object) bool { return o.Key == b.m.Object }) {
		err = fmt.Errorf("%s went while its manifest was written: it is stored again by the next try", b.m.Object)
	}
	return err
}

func (m *manifest) encode(key backup.Key) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(append(line, '\n'), key.MAC(manifestLabel, line)+"\n"...), nil
}

// decodeManifest reads the manifest that lies under a key.
func decodeManifest(data []byte, key backup.Key, at string) (*manifest, error) {
	line, mac, ok := bytes.Cut(data, []byte{'\n'})
	m := &manifest{}
	if !ok || len(data) > maxManifest || json.Unmarshal(line, m) != nil || m.Format < 1 {
		return nil, fmt.Errorf("%w: it is no manifest", backup.ErrCorrupt)
	}
	switch {
	case m.Format > formatVersion:
		return nil, fmt.Errorf("%w: version %d, this build reads up to %d", backup.ErrNewer, m.Format, formatVersion)
	case m.MeshID != key.ID():
		return nil, fmt.Errorf("%w: of the secret %.16q, the one given here is %q", backup.ErrForeign, m.MeshID, key.ID())
	case !key.Verify(manifestLabel, string(bytes.TrimSuffix(mac, []byte{'\n'})), line):
		return nil, fmt.Errorf("%w: its HMAC does not match", backup.ErrCorrupt)
	case m.Object+".manifest" != at || len(m.Kept) > maxEntries || m.Stored < 0 || m.Stored > maxStored:
		return nil, fmt.Errorf("%w: it lies in the place of %.200q", backup.ErrCorrupt, m.Object)
	}
	return m, nil
}

// read gives each line of a batch to f. The whole batch is verified before the first.
func (m *manifest) read(ctx context.Context, s backup.Store, key backup.Key, f func(line []byte) error) error {
	sealed, err := backup.ReadObject(ctx, s, m.Object, m.Stored)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(sealed); hex.EncodeToString(sum[:]) != m.SHA256 || !key.Verify(manifestLabel, m.HMAC, []byte(m.SHA256)) {
		return fmt.Errorf("%s: %w: its checksums are not those of its manifest", m.Object, backup.ErrCorrupt)
	}
	err = eachLine(sealed, key, f)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Object, err)
	}
	return nil
}

func eachLine(sealed []byte, key backup.Key, f func(line []byte) error) error {
	open, err := key.Open(bytes.NewReader(sealed))
	if err != nil {
		return err
	}
	zip, err := gzip.NewReader(open)
	if err != nil {
		return errors.Join(backup.ErrCorrupt, err)
	}
	lines := newScanner(zip)
	for lines.Scan() {
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return errors.Join(backup.ErrCorrupt, err)
	}
	return nil
}
