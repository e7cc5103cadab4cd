package openai

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits of one answer.
const (
	maxLine   = 1 << 20  // bytes of a line, and of the data of an event
	maxStream = 64 << 20 // bytes of a stream, comments included
)

var errTooLong = errors.New("over the limit")

// sseDecoder reads server-sent events (WHATWG HTML, section 9.2.6, "Interpreting an event stream"). Only data
// and the name of the event matter here; id and retry are for a reconnection that this protocol does not have.
type sseDecoder struct {
	r      *bufio.Reader
	limit  int  // bytes of the stream
	read   int  // bytes so far
	skipLF bool // the last line ended with CR: an LF at once belongs to it
	line   []byte
}

type sseEvent struct {
	name string
	data []byte // valid until the next call of next
}

func newSSE(r io.Reader) *sseDecoder { return &sseDecoder{r: bufio.NewReader(r), limit: maxStream} }

// next waits for an event with data. An event that the end of the stream cuts off is dropped, as the standard
// wants it; then the error is io.EOF.
func (d *sseDecoder) next() (sseEvent, error) {
	var ev sseEvent
	seen := false
	for {
		first := d.read == 0
		if err := d.readLine(); err != nil {
			return sseEvent{}, err
		}
		line := d.line
		if first {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if len(line) == 0 {
			if seen {
				return ev, nil
			}
			ev = sseEvent{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			ev.name = string(value)
		case "data":
			if seen {
				ev.data = append(ev.data, '\n')
			}
			seen = true
			if len(ev.data)+len(value) > maxLine {
				return sseEvent{}, fmt.Errorf("event of more than %d bytes: %w", maxLine, errTooLong)
			}
			ev.data = append(ev.data, value...)
		}
	}
}

// readLine fills d.line with the next line, which ends with LF, CR or both.
func (d *sseDecoder) readLine() error {
	d.line = d.line[:0]
	for {
		c, err := d.r.ReadByte()
		if err != nil {
			return err
		}
		if d.read++; d.read > d.limit {
			return fmt.Errorf("stream of more than %d bytes: %w", d.limit, errTooLong)
		}
		skip := d.skipLF && c == '\n'
		d.skipLF = c == '\r'
		switch {
		case skip:
		case c == '\n' || c == '\r':
			return nil
		case len(d.line) == maxLine:
			return fmt.Errorf("line of more than %d bytes: %w", maxLine, errTooLong)
		default:
			d.line = append(d.line, c)
		}
	}
}
