package replication

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// readState reads a session, nil when there is none.
func readState(tx *bolt.Tx, id skein.SessionID) (*session.State, error) {
	key := []byte(id)
	v := tx.Bucket(sessionsBucket).Get(key)
	if v == nil {
		return nil, nil
	}
	content, err := unseal(key, v)
	if err != nil {
		return nil, err
	}
	w := &wire.SessionState{}
	if err := proto.Unmarshal(content, w); err != nil {
		return nil, fmt.Errorf("%w: session %s: %w", errCorrupt, id, err)
	}
	return stateFromWire(w), nil
}

// eventKey is the session's id, a zero byte, which no id holds, and the sequence number.
func eventKey(id skein.SessionID, seq skein.Seq) []byte {
	key := make([]byte, 0, len(id)+9)
	key = append(append(key, id...), 0)
	return binary.BigEndian.AppendUint64(key, uint64(seq))
}
