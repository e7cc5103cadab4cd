package replication

import (
	"encoding/binary"
	"errors"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// maxWaiting is how many bytes of frames wait for a stream before its owner takes in nothing more.
const maxWaiting = 4 << 20

// outbox gathers the frames that go to one stream, so that what piles up during a write leaves with the next one.
type outbox struct {
	wake chan struct{} // capacity 1: there is something to write
	room chan struct{} // capacity 1: something was taken

	mu     sync.Mutex // guards the fields below
	buf    []byte
	frames int
	spare  []byte // what was written last, to be filled again
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// appender appends a frame to buf. After an error nothing of it counts.
type appender func(buf []byte) ([]byte, error)

// maxSpare is how large a buffer is kept for the next write.
const maxSpare = 256 << 10

// add appends what f gives. It reports whether there was room; nothing is added otherwise.
func (o *outbox) add(f appender) (bool, error) {
	o.mu.Lock()
	if len(o.buf) >= maxWaiting {
		o.mu.Unlock()
		return false, nil
	}
	err := o.appendLocked(f)
	o.mu.Unlock()
	signal(o.wake)
	return true, err
}

// push appends what f gives, whatever waits; the caller bounds how often.
func (o *outbox) push(f appender) error {
	o.mu.Lock()
	err := o.appendLocked(f)
	o.mu.Unlock()
	signal(o.wake)
	return err
}

func (o *outbox) appendLocked(f appender) error {
	had := len(o.buf)
	buf, err := f(o.buf)
	if err != nil {
		o.buf = o.buf[:had] // f may have written behind it
		return err
	}
	o.buf = buf
	o.frames++
	return nil
}

// take gives all that waits, and how many frames it is. The bytes are valid until the next take.
func (o *outbox) take() ([]byte, int) {
	o.mu.Lock()
	buf, n := o.buf, o.frames
	o.buf, o.frames, o.spare = o.spare[:0], 0, nil
	if cap(buf) <= maxSpare {
		o.spare = buf
	}
	o.mu.Unlock()
	signal(o.room)
	return buf, n
}

func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.buf) >= maxWaiting
}

// Field numbers of wire.ProposeRequest, and of the id that every message of a link begins with.
const (
	frameID         = 1
	requestCommands = 2
	requestKnown    = 4
)

// request is a wire.ProposeRequest whose commands stay encoded: they go into the log as they come.
type request struct {
	id       uint64
	commands [][]byte
	known    []skein.Seq // of each command's session, what the sender holds; 0: nothing
}

// appendTo appends r as a frame.
func (r *request) appendTo(buf []byte) ([]byte, error) {
	size, known := protowire.SizeTag(frameID)+protowire.SizeVarint(r.id), 0
	for _, c := range r.commands {
		size += protowire.SizeTag(requestCommands) + protowire.SizeBytes(len(c))
	}
	for _, k := range r.known {
		known += protowire.SizeVarint(uint64(k))
	}
	if len(r.known) > 0 {
		size += protowire.SizeTag(requestKnown) + protowire.SizeBytes(known)
	}
	buf = binary.AppendUvarint(buf, uint64(size))
	buf = protowire.AppendTag(buf, frameID, protowire.VarintType)
	buf = protowire.AppendVarint(buf, r.id)
	for _, c := range r.commands {
		buf = protowire.AppendTag(buf, requestCommands, protowire.BytesType)
		buf = protowire.AppendBytes(buf, c)
	}
	if len(r.known) > 0 {
		buf = protowire.AppendTag(buf, requestKnown, protowire.BytesType)
		buf = protowire.AppendVarint(buf, uint64(known))
		for _, k := range r.known {
			buf = protowire.AppendVarint(buf, uint64(k))
		}
	}
	return buf, nil
}

var errFrame = skein.Fault(skein.CodeMalformed, "frame is not protobuf")

// parse reads r from the body of a frame and keeps parts of it.
func (r *request) parse(body []byte) error {
	for len(body) > 0 {
		num, typ, n := protowire.ConsumeTag(body)
		if n < 0 {
			return errFrame
		}
		body = body[n:]
		var v []byte
		switch {
		case num == frameID && typ == protowire.VarintType:
			r.id, n = protowire.ConsumeVarint(body)
		case num == requestCommands && typ == protowire.BytesType:
			v, n = protowire.ConsumeBytes(body)
			r.commands = append(r.commands, v)
		case num == requestKnown && typ == protowire.BytesType:
			if v, n = protowire.ConsumeBytes(body); n >= 0 && !r.parseKnown(v) {
				n = -1
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, body)
		}
		if n < 0 || len(r.commands) > maxEntryCommands || len(r.known) > maxEntryCommands {
			return errFrame
		}
		body = body[n:]
	}
	return nil
}

func (r *request) parseKnown(v []byte) bool {
	for len(v) > 0 {
		k, n := protowire.ConsumeVarint(v)
		if n < 0 || len(r.known) > maxEntryCommands {
			return false
		}
		r.known, v = append(r.known, skein.Seq(k)), v[n:]
	}
	return true
}

// heldAt gives what the sender holds of the session of command i.
func (r *request) heldAt(i int) skein.Seq {
	if i >= len(r.known) {
		return 0
	}
	return r.known[i]
}

// idOf gives the id of a response. Its encoder puts it first.
func idOf(body []byte) (uint64, error) {
	if num, typ, n := protowire.ConsumeTag(body); n > 0 && num == frameID && typ == protowire.VarintType {
		if id, m := protowire.ConsumeVarint(body[n:]); m > 0 {
			return id, nil
		}
	}
	return 0, errors.Join(errFrame, errNoID)
}

var errNoID = errors.New("a response does not begin with its id")

// framed gives m as a frame, for an outbox.
func framed(m proto.Message) appender {
	return func(buf []byte) ([]byte, error) { return wire.AppendFrame(buf, m) }
}
