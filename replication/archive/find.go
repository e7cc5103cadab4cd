package archive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/backup"
)

// Wanted names what is looked for in an archive: one session, or all of a subject.
type Wanted struct {
	Session skein.SessionID
	Subject skein.Subject
}

func (w Wanted) matches(key backup.Key) func(entry) bool {
	if w.Session != "" {
		tag := key.MAC(sessionLabel, []byte(w.Session))
		return func(e entry) bool { return e.Session == tag }
	}
	tag := key.MAC(subjectLabel, []byte(w.Subject))
	return func(e entry) bool { return e.Subject == tag }
}

func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	return s
}

// manifests gives those of a region, in the order of their keys.
func manifests(ctx context.Context, s backup.Store, key backup.Key, region skein.Region) ([]*manifest, error) {
	objects, err := s.List(ctx, string(region)+"/archive/")
	if err != nil {
		return nil, err
	}
	var out []*manifest
	for _, o := range objects {
		if !strings.HasSuffix(o.Key, ".manifest") {
			continue
		}
		data, err := backup.ReadObject(ctx, s, o.Key, maxManifest)
		if err != nil {
			return nil, err
		}
		m, err := decodeManifest(data, key, o.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// Find writes the lines of what is wanted to w, each session once and as it was archived last, and gives how many sessions
// there are.
func Find(ctx context.Context, s backup.Store, key backup.Key, region skein.Region, want Wanted, w io.Writer) (int, error) {
	all, err := manifests(ctx, s, key, region)
	if err != nil {
		return 0, err
	}
	newest := map[string]*manifest{} // by the session's hash
	seqs := map[string]skein.Seq{}
	matches := want.matches(key)
	for _, m := range all {
		for _, e := range m.Kept {
			if matches(e) && (newest[e.Session] == nil || e.Seq > seqs[e.Session]) {
				newest[e.Session], seqs[e.Session] = m, e.Seq
			}
		}
	}
	for _, m := range all {
		if err := m.pick(ctx, s, key, func(tag string) bool { return newest[tag] == m }, w); err != nil {
			return 0, err
		}
	}
	return len(newest), nil
}

// pick writes the lines of some sessions of a batch, if it has any.
func (m *manifest) pick(ctx context.Context, s backup.Store, key backup.Key, wanted func(tag string) bool, w io.Writer) error {
	if !slices.ContainsFunc(m.Kept, func(e entry) bool { return wanted(e.Session) }) {
		return nil
	}
	return m.read(ctx, s, key, func(line []byte) error {
		id, err := sessionOf(line)
		if err == nil && wanted(key.MAC(sessionLabel, []byte(id))) {
			_, err = fmt.Fprintf(w, "%s\n", line)
		}
		return err
	})
}

// Erase takes what is named out of every batch of a region: what else a batch holds is stored anew before the old one goes. It
// gives how many copies of sessions went. After an error some may be left; it may be repeated. See Prune for what one that was cut short
// leaves.
func Erase(ctx context.Context, s backup.Store, key backup.Key, region skein.Region, want Wanted) (int, error) {
	all, err := manifests(ctx, s, key, region)
	if err != nil {
		return 0, err
	}
	gone := 0
	matches := want.matches(key)
	for _, m := range all {
		n, err := m.without(ctx, s, key, matches)
		if err != nil {
			return gone, err
		}
		gone += n
	}
	_, err = Prune(ctx, s, key, region) // an erase that was cut short may have left what it was about
	return gone, err
}

// without replaces a batch by one that lacks some sessions.
func (m *manifest) without(ctx context.Context, s backup.Store, key backup.Key, matches func(entry) bool) (int, error) {
	drop := map[string]bool{}
	rest := newBatch(key)
	for _, e := range m.Kept {
		if matches(e) {
			drop[e.Session] = true
		} else {
			rest.note(e)
		}
	}
	if len(drop) == 0 {
		return 0, nil
	}
	err := m.read(ctx, s, key, func(line []byte) error {
		id, err := sessionOf(line)
		if err != nil || drop[key.MAC(sessionLabel, []byte(id))] {
			return err
		}
		return rest.line(bytes.Clone(line))
	})
	if err == nil {
		err = rest.zip.Close()
	}
	if err == nil && len(rest.m.Kept) > 0 {
		err = rest.store(ctx, s, m.Object[:strings.LastIndexByte(m.Object, '/')+1])
	}
	if err != nil {
		return 0, err
	}
	return len(drop), errors.Join(s.Delete(ctx, m.Object+".manifest"), s.Delete(ctx, m.Object))
}
