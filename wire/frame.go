package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
)

// Limits of one frame, in bytes, the length prefix not counted.
const (
	MaxClientFrame = 32 << 10  // from a client
	MaxServerFrame = 256 << 10 // to a client
	MaxNodeFrame   = 8 << 20   // between nodes
)

// WriteFrame writes m behind an unsigned varint of its length (protobuf encoding, "Base 128 Varints"), in one Write.
func WriteFrame(w io.Writer, m proto.Message) error {
	buf, err := AppendFrame(nil, m)
	if err != nil {
		return err
	}
	_, err = w.Write(buf)
	return err
}

// AppendFrame appends the framed form of m to buf, so that several frames can travel in one Write.
func AppendFrame(buf []byte, m proto.Message) ([]byte, error) {
	if v, ok := m.(generated); ok {
		if _, fromClient := m.(*ClientFrame); !fromClient {
			return appendGenerated(buf, v)
		}
	}
	opts := proto.MarshalOptions{}
	buf = binary.AppendUvarint(buf, uint64(opts.Size(m)))
	buf, err := opts.MarshalAppend(buf, m)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return buf, nil
}

// generated is a message with a codec of its own: the same bytes without reflection. It does not look whether texts are
// UTF-8, so the frames and commands of clients go through the other one, both ways.
type generated interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

func appendGenerated(buf []byte, m generated) ([]byte, error) {
	n := m.SizeVT()
	buf = binary.AppendUvarint(buf, uint64(n))
	at := len(buf)
	buf = slices.Grow(buf, n)[:at+n]
	if _, err := m.MarshalToSizedBufferVT(buf[at:]); err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return buf, nil
}

// ReadFrame reads one frame of at most limit bytes into m. io.EOF means that the stream ended between frames.
func ReadFrame(r *bufio.Reader, m proto.Message, limit int) error {
	body, err := ReadBody(r, limit)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return skein.Fault(skein.CodeMalformed, "frame is not protobuf")
	}
	return nil
}

// Whole reports whether r has a whole frame at hand, so that reading it does not wait.
func Whole(r *bufio.Reader) bool {
	head, _ := r.Peek(min(r.Buffered(), binary.MaxVarintLen64))
	n, k := binary.Uvarint(head)
	return k > 0 && n <= uint64(r.Buffered()-k)
}

// ReadBody is ReadFrame without decoding. Memory is taken as bytes arrive, not as the length promises.
func ReadBody(r *bufio.Reader, limit int) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return nil, fmt.Errorf("read frame length: %w", err)
	}
	if n > uint64(limit) {
		return nil, skein.Fault(skein.CodeTooLarge, "a frame has at most %d bytes, this one says %d", limit, n)
	}
	body := make([]byte, 0, min(n, 16<<10))
	for uint64(len(body)) < n {
		chunk := min(n-uint64(len(body)), 16<<10)
		start := len(body)
		body = append(body, make([]byte, chunk)...)
		if _, err := io.ReadFull(r, body[start:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read frame: %w", err)
		}
	}
	return body, nil
}
