package replication

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// A log entry is a header of 12 bytes and a wire.Envelope: version, a reserved zero byte, the count of commands
// (big endian, as all of these), the length of what follows, and a CRC32C over the first eight bytes and what follows.
const (
	envelopeVersion = 1
	envelopeHeader  = 12
)

// Limits of one log entry and of one proposal.
const (
	maxEntryCommands = 256
	maxEntryBytes    = 128 << 10 // beyond it the next proposal goes to the next entry
	maxProposalBytes = 4 << 20   // of one call of Propose
)

// castagnoli is the polynomial of CRC32C (RFC 3720, section 12.1).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeCommand checks c on the way: a text that is not UTF-8 has no stored form.
func encodeCommand(c *wire.Command) ([]byte, error) {
	buf, err := marshalCommand(c)
	if err != nil {
		return nil, skein.Fault(skein.CodeMalformed, "command of %.80q: a text is not UTF-8", c.Session)
	}
	if len(buf) > maxProposalBytes {
		return nil, skein.Fault(skein.CodeTooLarge, "a command has at most %d bytes", maxProposalBytes)
	}
	return buf, nil
}

func marshalCommand(c *wire.Command) ([]byte, error) {
	if common(c) {
		return c.MarshalVT()
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(c)
}

// decodeCommand reads a command that came from another node; like encodeCommand it refuses a text that is not UTF-8.
func decodeCommand(buf []byte) (*wire.Command, error) {
	c := &wire.Command{}
	if c.UnmarshalVT(buf) == nil && common(c) {
		return c, nil
	}
	proto.Reset(c)
	return c, proto.Unmarshal(buf, c)
}

// common reports whether c is of the kind that nearly all are, with texts that are UTF-8. The codec without reflection does
// not look at that.
func common(c *wire.Command) bool {
	a := c.GetAccept()
	if a == nil {
		return false
	}
	id, run, at, reply := a.GetId(), a.GetRunner(), a.GetPlace(), a.GetReply()
	for _, s := range [...]string{c.GetSession(), a.GetText(), a.GetSubject(), id.GetClient(), run.GetNode(), at.GetNode(), at.GetRegion(),
		at.GetZone(), reply.GetText(), reply.GetSource()} {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}

// Field numbers of wire.Envelope.
const (
	envelopeEpochField    = 1
	envelopeGroupField    = 2
	envelopeCommandsField = 3
)

// encodeEnvelope joins commands that are encoded already, so that no command is encoded twice.
func encodeEnvelope(epoch uint64, group uint32, commands [][]byte) []byte {
	size := envelopeHeader + 32
	for _, c := range commands {
		size += len(c) + 8
	}
	buf := make([]byte, envelopeHeader, size)
	if epoch != 0 {
		buf = protowire.AppendTag(buf, envelopeEpochField, protowire.VarintType)
		buf = protowire.AppendVarint(buf, epoch)
	}
	if group != 0 {
		buf = protowire.AppendTag(buf, envelopeGroupField, protowire.VarintType)
		buf = protowire.AppendVarint(buf, uint64(group))
	}
	for _, c := range commands {
		buf = protowire.AppendTag(buf, envelopeCommandsField, protowire.BytesType)
		buf = protowire.AppendBytes(buf, c)
	}
	buf[0] = envelopeVersion
	binary.BigEndian.PutUint16(buf[2:], uint16(len(commands)))
	binary.BigEndian.PutUint32(buf[4:], uint32(len(buf)-envelopeHeader))
	binary.BigEndian.PutUint32(buf[8:], envelopeSum(buf))
	return buf
}

func envelopeSum(buf []byte) uint32 {
	return crc32.Update(crc32.Checksum(buf[:8], castagnoli), castagnoli, buf[envelopeHeader:])
}

// decodeEnvelope reads a log entry of group. Any error means that this replica cannot go on: what the others
// apply here is unknown to it.
func decodeEnvelope(buf []byte, group uint32) (*wire.Envelope, error) {
	switch {
	case len(buf) < envelopeHeader:
		return nil, fmt.Errorf("log entry has %d bytes, fewer than its header", len(buf))
	case buf[0] != envelopeVersion || buf[1] != 0:
		return nil, fmt.Errorf("log entry has version %d, this build knows %d", buf[0], envelopeVersion)
	case binary.BigEndian.Uint32(buf[4:]) != uint32(len(buf)-envelopeHeader):
		return nil, fmt.Errorf("log entry says %d bytes, has %d", binary.BigEndian.Uint32(buf[4:]), len(buf)-envelopeHeader)
	case binary.BigEndian.Uint32(buf[8:]) != envelopeSum(buf):
		return nil, fmt.Errorf("log entry: checksum mismatch")
	}
	e := &wire.Envelope{}
	if err := e.UnmarshalVT(buf[envelopeHeader:]); err != nil {
		return nil, fmt.Errorf("log entry: %w", err)
	}
	if n := int(binary.BigEndian.Uint16(buf[2:])); n != len(e.Commands) || n > maxEntryCommands {
		return nil, fmt.Errorf("log entry has %d commands, its header says %d", len(e.Commands), n)
	}
	if e.Group != group {
		return nil, fmt.Errorf("log entry belongs to group %d, this is group %d", e.Group, group)
	}
	return e, nil
}
