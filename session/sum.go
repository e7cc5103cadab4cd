package session

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is a CRC32C (RFC 3720, section 12.1) over all that a State holds. Two copies that differ by a fault have
// different sums but for one in 2^32; it is no defence against who wants them to differ.
func (s *State) Sum() uint32 {
	var h summer
	h.text(string(s.ID))
	h.text(string(s.Subject))
	h.text(s.Assistant)
	h.text(string(s.Home))
	h.numbers(uint64(s.Epoch), uint64(s.Seq), s.Count, uint64(s.Phase), uint64(s.Last), truth(s.Archived), uint64(len(s.Memory)))
	h.bytes(s.Memory)
	for i := range s.Turns {
		h.turn(s.Turns[i])
	}
	for i := range s.Marks {
		h.text(string(s.Marks[i].Client))
		h.numbers(s.Marks[i].Counter, uint64(s.Marks[i].Seq))
	}
	h.flush()
	return h.sum
}

func (h *summer) turn(t *Turn) {
	h.text(string(t.ID.Client))
	h.text(t.Text)
	h.text(string(t.Runner.Node))
	h.text(string(t.Place.Node))
	h.text(string(t.Place.Region))
	h.text(string(t.Place.Zone))
	h.text(t.Reply)
	h.text(t.Source)
	h.text(t.Reason)
	h.numbers(t.ID.Counter, uint64(t.Status), uint64(t.Attempt), uint64(t.Failures), uint64(t.Runner.Incarnation), uint64(t.Seq),
		uint64(t.LeaseUntil), uint64(t.NotBefore), millis(t.At), millis(t.DoneAt), uint64(t.Retried), truth(t.Dropped))
	for i := range t.Calls {
		c := &t.Calls[i]
		for _, s := range [...]string{c.ID, c.Tool, c.Key, c.Args, c.Result, c.Error} {
			h.text(s)
		}
		h.numbers(truth(c.Done))
	}
	for _, c := range t.Continuations {
		h.text(c.Mode)
		h.numbers(uint64(c.Attempt), uint64(c.Offset))
	}
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

// summer gathers small fields, since a checksum of many bytes at once is far cheaper than of each alone.
type summer struct {
	sum uint32
	n   int
	buf [512]byte
}

func (h *summer) flush() {
	h.sum = crc32.Update(h.sum, castagnoli, h.buf[:h.n])
	h.n = 0
}

func (h *summer) numbers(list ...uint64) {
	for _, v := range list {
		if h.n+binary.MaxVarintLen64 > len(h.buf) {
			h.flush()
		}
		h.n += binary.PutUvarint(h.buf[h.n:], v)
	}
}

// text takes in a text with its length, so that neighbours cannot trade bytes.
func (h *summer) text(s string) {
	h.numbers(uint64(len(s)))
	for len(s) > 0 {
		if h.n == len(h.buf) {
			h.flush()
		}
		n := copy(h.buf[h.n:], s)
		h.n, s = h.n+n, s[n:]
	}
}

func (h *summer) bytes(b []byte) {
	h.flush()
	h.sum = crc32.Update(h.sum, castagnoli, b)
}
