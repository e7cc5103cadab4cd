package replication

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/session"
)

// mark is where a replica stands; it is stored in the same transaction as the changes that led to it.
type mark struct {
	index    uint64 // of the last log entry applied
	term     uint64
	clock    session.Committed
	sessions uint64 // that are not gone
	closed   uint64 // of them
	purged   uint64 // gone by age
	erased   uint64 // gone by an operator's order
	calendar session.Calendar
	first    session.Calendar // at which the calendar began
	position uint64           // of the last kept event: they are numbered from 1 in the order in which they were applied
	hash     [32]byte         // rolling, over the encoded events in the order in which they were applied
}

const markSize = 10*8 + 32

// now is what a command is told of time.
func (m mark) now() session.Now {
	return session.Now{Clock: m.clock, Calendar: m.calendar, First: m.first}
}

func (m mark) encode() []byte {
	buf := make([]byte, 0, markSize)
	for _, v := range []uint64{m.index, m.term, uint64(m.clock), m.sessions, m.position,
		m.closed, m.purged, m.erased, uint64(m.calendar), uint64(m.first)} {
		buf = binary.BigEndian.AppendUint64(buf, v)
	}
	return append(buf, m.hash[:]...)
}

func decodeMark(buf []byte) (m mark, err error) {
	if len(buf) != markSize {
		return m, fmt.Errorf("%w: the applied mark has %d bytes", errCorrupt, len(buf))
	}
	m.index, m.term = binary.BigEndian.Uint64(buf), binary.BigEndian.Uint64(buf[8:])
	m.clock, m.sessions = session.Committed(binary.BigEndian.Uint64(buf[16:])), binary.BigEndian.Uint64(buf[24:])
	m.position, m.closed = binary.BigEndian.Uint64(buf[32:]), binary.BigEndian.Uint64(buf[40:])
	m.purged, m.erased = binary.BigEndian.Uint64(buf[48:]), binary.BigEndian.Uint64(buf[56:])
	m.calendar, m.first = session.Calendar(binary.BigEndian.Uint64(buf[64:])), session.Calendar(binary.BigEndian.Uint64(buf[72:]))
	copy(m.hash[:], buf[80:])
	return m, nil
}

// count takes in that a session went from one phase to another; opened says that there was none before.
func (m *mark) count(opened bool, was, is session.Phase) {
	if opened {
		m.sessions++
	}
	if was == is {
		return
	}
	for phase, n := range map[session.Phase]*uint64{session.PhaseClosed: &m.closed, session.PhasePurged: &m.purged, session.PhaseErased: &m.erased} {
		if was == phase {
			*n--
		}
		if is == phase {
			*n++
		}
	}
	if is.Gone() && !was.Gone() {
		m.sessions--
	}
}

// readMark gives the zero mark for a fresh file.
func readMark(tx *bolt.Tx) (mark, error) {
	v := tx.Bucket(metaBucket).Get(markKey)
	if v == nil {
		return mark{}, nil
	}
	content, err := unseal(markKey, v)
	if err != nil {
		return mark{}, err
	}
	return decodeMark(content)
}

func writeMark(tx *bolt.Tx, m mark) error {
	return tx.Bucket(metaBucket).Put(markKey, seal(markKey, m.encode()))
}

// readBase gives the index at which the file was installed from a snapshot, 0 when it never was. The log need
// not reach that far.
func readBase(tx *bolt.Tx) (uint64, error) {
	v := tx.Bucket(metaBucket).Get(baseKey)
	if v == nil {
		return 0, nil
	}
	content, err := unseal(baseKey, v)
	if err != nil {
		return 0, err
	}
	if len(content) != 8 {
		return 0, fmt.Errorf("%w: the snapshot base has %d bytes", errCorrupt, len(content))
	}
	return binary.BigEndian.Uint64(content), nil
}

func writeBase(tx *bolt.Tx, index uint64) error {
	return tx.Bucket(metaBucket).Put(baseKey, seal(baseKey, binary.BigEndian.AppendUint64(nil, index)))
}
