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

// inlineMarks is how many marks a header holds. A session with more has all of them in records of their own: a turn raises one,
// and the header is written with each.
const inlineMarks = 16

// apart gives the marks of a session that stand outside of its header.
func apart(marks []session.Mark) []session.Mark {
	if len(marks) <= inlineMarks {
		return nil
	}
	return marks
}

// readApart reads the marks of a session that stand outside of its header, ordered by client.
func readApart(tx *bolt.Tx, id skein.SessionID, want uint32) ([]session.Mark, error) {
	prefix := prefixOf(id)
	var marks []session.Mark
	c := tx.Bucket(marksBucket).Cursor()
	for k, v := c.Seek(prefix); hasPrefix(k, prefix); k, v = c.Next() {
		content, err := unseal(k, v)
		if err != nil {
			return nil, fmt.Errorf("marks: %w", err)
		}
		w := &wire.Mark{}
		if err := proto.Unmarshal(content, w); err != nil {
			return nil, fmt.Errorf("marks: %w: record %q: %w", errCorrupt, k, err)
		}
		marks = append(marks, session.Mark{Client: skein.ClientID(k[len(prefix):]), Counter: w.Counter, Seq: skein.Seq(w.Seq)})
	}
	if len(marks) != int(want) {
		return nil, fmt.Errorf("%w: session %s has %d records of its clients, its header says %d", errCorrupt, id, len(marks), want)
	}
	return marks, nil
}

// writeApart brings the marks of a session that stand outside of its header from what they were to what they are. Both are ordered
// by client.
func writeApart(b *bolt.Bucket, id skein.SessionID, was, is []session.Mark) error {
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0].Client < is[0].Client:
			if err := b.Delete(apartKey(id, was[0].Client)); err != nil {
				return err
			}
			was = was[1:]
			continue
		case len(was) > 0 && was[0].Client == is[0].Client:
			same := was[0] == is[0]
			if was = was[1:]; same {
				is = is[1:]
				continue
			}
		}
		value, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wire.Mark{Counter: is[0].Counter, Seq: uint64(is[0].Seq)})
		if err != nil {
			return err
		}
		key := apartKey(id, is[0].Client)
		if err := b.Put(key, seal(key, value)); err != nil {
			return err
		}
		is = is[1:]
	}
	return nil
}

func hasPrefix(key, prefix []byte) bool { return key != nil && bytes.HasPrefix(key, prefix) }
