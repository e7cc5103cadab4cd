package seglog

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// A stored entry: version, type, term, append time in nanoseconds since 1970 (0: none), the length of the
// extensions as an unsigned varint, the extensions, the data. Its index and checksum are the record's.
const (
	entryVersion = 1
	entryFixed   = 1 + 1 + 8 + 8
)

func appendEntry(buf []byte, l *raft.Log) []byte {
	buf = append(buf, entryVersion, byte(l.Type))
	buf = binary.BigEndian.AppendUint64(buf, l.Term)
	var nanos int64
	if !l.AppendedAt.IsZero() {
		nanos = l.AppendedAt.UnixNano()
	}
	buf = binary.BigEndian.AppendUint64(buf, uint64(nanos))
	buf = binary.AppendUvarint(buf, uint64(len(l.Extensions)))
	buf = append(buf, l.Extensions...)
	return append(buf, l.Data...)
}

// decodeEntry reads a stored entry into l, which shares no memory with body afterwards.
func decodeEntry(index uint64, body []byte, l *raft.Log) error {
	if len(body) < entryFixed+1 {
		return fmt.Errorf("%w: an entry of %d bytes", ErrCorrupt, len(body))
	}
	if body[0] != entryVersion {
		return fmt.Errorf("%w: entry version %d, this build knows %d", ErrCorrupt, body[0], entryVersion)
	}
	n, size := binary.Uvarint(body[entryFixed:])
	rest := body[entryFixed+max(size, 0):]
	if size <= 0 || n > uint64(len(rest)) {
		return fmt.Errorf("%w: extensions run over the end", ErrCorrupt)
	}
	*l = raft.Log{Index: index, Type: raft.LogType(body[1]), Term: binary.BigEndian.Uint64(body[2:])}
	if nanos := int64(binary.BigEndian.Uint64(body[10:])); nanos != 0 {
		l.AppendedAt = time.Unix(0, nanos)
	}
	if n > 0 {
		l.Extensions = append([]byte(nil), rest[:n]...)
	}
	if data := rest[n:]; len(data) > 0 {
		l.Data = append([]byte(nil), data...)
	}
	return nil
}
