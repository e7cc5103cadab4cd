package replication

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// A stored entry: version, type, term, append time in nanoseconds since 1970 (0: none), the length of the
// extensions as an unsigned varint, the extensions, the data, and a CRC32C over the index and all of that.
const (
	logEntryVersion = 1
	logEntryFixed   = 1 + 1 + 8 + 8
)

func encodeLog(l *raft.Log) []byte {
	buf := make([]byte, 0, logEntryFixed+binary.MaxVarintLen64+len(l.Extensions)+len(l.Data)+4)
	buf = append(buf, logEntryVersion, byte(l.Type))
	buf = binary.BigEndian.AppendUint64(buf, l.Term)
	var nanos int64
	if !l.AppendedAt.IsZero() {
		nanos = l.AppendedAt.UnixNano()
	}
	buf = binary.BigEndian.AppendUint64(buf, uint64(nanos))
	buf = binary.AppendUvarint(buf, uint64(len(l.Extensions)))
	buf = append(buf, l.Extensions...)
	buf = append(buf, l.Data...)
	return binary.BigEndian.AppendUint32(buf, logSum(l.Index, buf))
}

func logSum(index uint64, body []byte) uint32 {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], index)
	return crc32.Update(crc32.Checksum(key[:], castagnoli), castagnoli, body)
}

// decodeLog reads a stored entry into l, which shares no memory with buf afterwards.
func decodeLog(index uint64, buf []byte, l *raft.Log) error {
	if len(buf) < logEntryFixed+1+4 {
		return fmt.Errorf("%w: %d bytes", errCorrupt, len(buf))
	}
	body := buf[:len(buf)-4]
	if binary.BigEndian.Uint32(buf[len(body):]) != logSum(index, body) {
		return fmt.Errorf("%w: checksum mismatch", errCorrupt)
	}
	if body[0] != logEntryVersion {
		return fmt.Errorf("%w: version %d, this build knows %d", errCorrupt, body[0], logEntryVersion)
	}
	n, size := binary.Uvarint(body[logEntryFixed:])
	rest := body[logEntryFixed+max(size, 0):]
	if size <= 0 || n > uint64(len(rest)) {
		return fmt.Errorf("%w: extensions run over the end", errCorrupt)
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
