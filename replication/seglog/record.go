package seglog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// ErrCorrupt marks data on this disk that does not verify; the text around it names the file.
var ErrCorrupt = errors.New("data on disk is corrupt")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A record, all numbers big endian, begins at a multiple of recordAlign: CRC32C, length of the entry, index,
// offset at which the append that wrote it began, magic, entry, zeros to the next multiple. The CRC covers what follows
// it, and the file's sequence number and the record's offset before that: a record verifies nowhere else.
const (
	recordHeader = 4 + 4 + 8 + 4 + 4
	recordAlign  = 8
	recordMagic  = 0x736b6e31
)

// record is one that has verified.
type record struct {
	index  uint64
	start  uint32 // offset of its append
	entry  []byte // shares memory with what was read
	length int    // with header and padding
}

func padded(n int) int { return (n + recordAlign - 1) &^ (recordAlign - 1) }

// appendRecord adds l to buf, which goes to offset start of file seq.
func appendRecord(buf []byte, seq uint64, start uint32, l *raft.Log) []byte {
	at := len(buf)
	buf = append(buf, make([]byte, recordHeader)...)
	buf = appendEntry(buf, l)
	r := buf[at:]
	binary.BigEndian.PutUint32(r[4:], uint32(len(r)-recordHeader))
	binary.BigEndian.PutUint64(r[8:], l.Index)
	binary.BigEndian.PutUint32(r[16:], start)
	binary.BigEndian.PutUint32(r[20:], recordMagic)
	binary.BigEndian.PutUint32(r, recordSum(seq, start+uint32(at), r))
	return append(buf, make([]byte, padded(len(r))-len(r))...)
}

func recordSum(seq uint64, offset uint32, r []byte) uint32 {
	var place [12]byte
	binary.BigEndian.PutUint64(place[:], seq)
	binary.BigEndian.PutUint32(place[8:], offset)
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, r[4:])
}

// parseRecord reads the record at the start of buf, which was read at offset of file seq.
func parseRecord(seq uint64, offset uint32, buf []byte) (record, bool) {
	if len(buf) < recordHeader || binary.BigEndian.Uint32(buf[20:]) != recordMagic {
		return record{}, false
	}
	n := int64(binary.BigEndian.Uint32(buf[4:])) + recordHeader
	if n > int64(len(buf)) || binary.BigEndian.Uint32(buf) != recordSum(seq, offset, buf[:n]) {
		return record{}, false
	}
	r := record{
		index: binary.BigEndian.Uint64(buf[8:]), start: binary.BigEndian.Uint32(buf[16:]),
		entry: buf[recordHeader:n], length: padded(int(n)),
	}
	return r, r.start <= offset
}

// appendedLater looks in buf, read at offset of file seq, for a good record of an append that began behind
// offset, and gives the place of the first. It reads every aligned place once; zeros and noise have no magic.
func appendedLater(seq uint64, offset uint32, buf []byte) (uint32, bool) {
	for i := recordAlign; i+recordHeader <= len(buf); i += recordAlign {
		if binary.BigEndian.Uint32(buf[i+20:]) != recordMagic {
			continue
		}
		at := offset + uint32(i)
		if r, ok := parseRecord(seq, at, buf[i:]); ok && r.start > offset {
			return at, true
		}
	}
	return 0, false
}
