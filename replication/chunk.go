package replication

import (
	"encoding/binary"
	"fmt"

	"github.com/skein-mesh/skein"
)

// Where a session's events are: the header has the newest, chunks of the index bucket the others. Both are lists of one form.
// A chunk is cut off whenever the header holds more than recentEvents, so that what is stored depends on the events alone and
// not on when they were flushed.
const (
	recentEvents = 32 // in the header at most
	chunkEvents  = 16 // of a chunk
)

// eventAt is where a kept event is, and when its proposer says that it was.
type eventAt struct {
	seq      skein.Seq
	position uint64
	at       int64 // milliseconds since 1970; 0: not known
}

// encodeEvents stores a list, oldest first: the count, the smallest time, how much later the largest is; for each event how much
// its sequence number, its position and its time are above those before it. All are varints, the times as zigzag numbers.
func encodeEvents(list []eventAt) []byte {
	from, to := timesOf(list)
	buf := make([]byte, 0, 8+6*len(list))
	buf = binary.AppendUvarint(buf, uint64(len(list)))
	buf = binary.AppendVarint(buf, from)
	buf = binary.AppendUvarint(buf, uint64(to-from))
	before := eventAt{at: from}
	for _, e := range list {
		buf = binary.AppendUvarint(buf, uint64(e.seq-before.seq))
		buf = binary.AppendUvarint(buf, e.position-before.position)
		buf = binary.AppendVarint(buf, e.at-before.at)
		before = e
	}
	return buf
}

// timesOf gives the smallest and the largest time of a list, zeros for none.
func timesOf(list []eventAt) (from, to int64) {
	for i, e := range list {
		if i == 0 {
			from, to = e.at, e.at
		}
		from, to = min(from, e.at), max(to, e.at)
	}
	return from, to
}

// decodeEvents reads what encodeEvents wrote. Anything else is an error: sequence numbers and positions that do not rise, more
// events than a header has, bytes behind the end, times that are not those of the events.
func decodeEvents(buf []byte) ([]eventAt, error) {
	r := varints{buf: buf}
	n := r.unsigned()
	from, span := r.signed(), r.unsigned()
	if r.bad || n > recentEvents {
		return nil, fmt.Errorf("%w: a list of events that cannot be read", errCorrupt)
	}
	list := make([]eventAt, 0, n)
	e := eventAt{at: from}
	for range n {
		seq, position := r.unsigned(), r.unsigned()
		if seq == 0 || position == 0 || uint64(e.seq)+seq < seq || e.position+position < position {
			return nil, fmt.Errorf("%w: a list of events that do not rise", errCorrupt)
		}
		e = eventAt{e.seq + skein.Seq(seq), e.position + position, e.at + r.signed()}
		list = append(list, e)
	}
	first, last := timesOf(list)
	if r.bad || len(r.buf) > 0 || first != from || uint64(last-first) != span {
		return nil, fmt.Errorf("%w: a list of events that contradicts itself", errCorrupt)
	}
	return list, nil
}

// eventTimes gives the smallest and the largest time of an encoded list without reading the rest.
func eventTimes(buf []byte) (from, to int64, err error) {
	r := varints{buf: buf}
	r.unsigned()
	from = r.signed()
	to = from + int64(r.unsigned())
	if r.bad {
		return 0, 0, fmt.Errorf("%w: a list of events without its times", errCorrupt)
	}
	return from, to, nil
}

// varints reads numbers one behind the other; after the first fault it gives zeros.
type varints struct {
	buf []byte
	bad bool
}

func (v *varints) unsigned() uint64 {
	x, n := binary.Uvarint(v.buf)
	return x * v.took(n)
}

func (v *varints) signed() int64 {
	x, n := binary.Varint(v.buf)
	return x * int64(v.took(n))
}

// took moves on by n bytes and gives 1, or 0 when there was no number.
func (v *varints) took(n int) uint64 {
	if v.bad = v.bad || n <= 0; v.bad {
		return 0
	}
	v.buf = v.buf[n:]
	return 1
}
