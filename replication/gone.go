package replication

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// A session whose text is deleted has a record in the gone bucket, for ever, and is nowhere else: what goes through all sessions
// does not meet it. The event that says so stays in the order of events.

// gone takes everything of a session out of the file but where it was.
func (w *writer) gone(id skein.SessionID, c *change, p *places) error {
	for i := range c.events {
		if kind := c.events[i].kind; kind == session.Purged || kind == session.Erased {
			w.events = append(w.events, &c.events[i])
		}
	}
	if err := w.dropEvents(id, p); err != nil {
		return err
	}
	if err := w.dropSubject(id); err != nil {
		return err
	}
	if err := writeApart(w.tx.Bucket(marksBucket), id, p.apart, nil); err != nil {
		return err
	}
	if err := writeAge(w.tx, id, p.age, ageOf{}); err != nil {
		return err
	}
	for _, name := range [][]byte{sessionsBucket, openBucket, lettersBucket} {
		if err := w.tx.Bucket(name).Delete([]byte(id)); err != nil {
			return err
		}
	}
	w.known.drop(id)
	return w.putGone(c.state)
}

// dropEvents deletes the session's events and the index of them.
func (w *writer) dropEvents(id skein.SessionID, p *places) error {
	events, index, prefix := w.tx.Bucket(eventsBucket), w.tx.Bucket(indexBucket), prefixOf(id)
	drop := func(list []eventAt) error {
		for _, e := range list {
			if err := events.Delete(eventKey(e.position)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := drop(p.recent); err != nil {
		return err
	}
	c := index.Cursor()
	for k, v := c.Seek(prefix); hasPrefix(k, prefix); k, v = c.Seek(prefix) {
		key := bytes.Clone(k) // a delete moves what the cursor shows
		content, err := unseal(k, v)
		if err != nil {
			return fmt.Errorf("index: %w", err)
		}
		list, err := decodeEvents(content)
		if err == nil {
			err = drop(list)
		}
		if err == nil {
			err = index.Delete(key)
		}
		if err != nil {
			return fmt.Errorf("index: record %q: %w", key, err)
		}
	}
	return nil
}

// dropSubject takes a session out of the index of its subject; the file knows whose it was, also when the state does not.
func (w *writer) dropSubject(id skein.SessionID) error {
	h, err := readHeader(w.tx, id)
	if err != nil {
		return err
	}
	subjects := w.tx.Bucket(subjectsBucket)
	if h != nil {
		return subjects.Delete(subjectKey(skein.Subject(h.Subject), spanClass(h.OpenedMs, h.LatestMs), h.OpenedMs, id))
	}
	if h, err = readGone(w.tx, id); err != nil || h == nil {
		return err
	}
	return subjects.Delete(subjectKey(skein.Subject(h.Subject), goneClass, 0, id))
}

func (w *writer) putGone(s *session.State) error {
	header, err := headerToWire(s, &places{})
	if err != nil {
		return err
	}
	header.Recent = nil
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(header)
	if err != nil {
		return fmt.Errorf("encode session %s: %w", s.ID, err)
	}
	key := []byte(s.ID)
	if err := w.tx.Bucket(goneBucket).Put(key, seal(key, value)); err != nil || s.Subject == "" {
		return err
	}
	return w.tx.Bucket(subjectsBucket).Put(subjectKey(s.Subject, goneClass, 0, s.ID), []byte{})
}

// readGone reads what is left of a session, nil when it is not gone.
func readGone(tx *bolt.Tx, id skein.SessionID) (*wire.SessionHeader, error) {
	return headerAt(tx, goneBucket, id)
}
