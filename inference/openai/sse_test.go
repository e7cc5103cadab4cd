package openai

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func events(r io.Reader) (out []string, err error) {
	d := newSSE(r)
	for {
		ev, err := d.next()
		if err != nil {
			return out, err
		}
		out = append(out, ev.name+"|"+string(ev.data))
	}
}

func TestSSE(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"line feeds", "data: a\n\ndata:b\n\n", []string{"|a", "|b"}},
		{"both", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"|a", "|b"}},
		{"carriage returns", "data: a\r\rdata: b\r\r", []string{"|a", "|b"}},
		{"two lines of data", "data: a\ndata: b\n\n", []string{"|a\nb"}},
		{"empty data", "data\n\n", []string{"|"}},
		{"only the first space goes", "data:  a\n\n", []string{"| a"}},
		{"comments and other fields", ": hi\nid: 1\nretry: 2\nnonsense\ndata: a\n\n", []string{"|a"}},
		{"a name", "event: error\ndata: a\n\n", []string{"error|a"}},
		{"a name without data is forgotten", "event: error\n\ndata: a\n\n", []string{"|a"}},
		{"a byte order mark", "\uFEFFdata: a\n\n", []string{"|a"}},
		{"cut off", "data: a\n\ndata: b\n", []string{"|a"}},
	} {
		got, err := events(iotest.OneByteReader(strings.NewReader(c.in)))
		if !slices.Equal(got, c.want) || err != io.EOF {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// endless is a stream of one line for ever.
type endless struct {
	line string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.line[e.read%len(e.line)]
		e.read++
	}
	return len(p), nil
}

func TestSSELimits(t *testing.T) {
	for name, line := range map[string]string{
		"a line": "a", "an event": "data: " + strings.Repeat("a", 1000) + "\n", "comments": ": keep-alive\n\n",
	} {
		r := &endless{line: line}
		d := newSSE(r)
		d.limit = 2 * maxLine
		if ev, err := d.next(); !errors.Is(err, errTooLong) {
			t.Errorf("%s without end: got %.40q, %v, want errTooLong", name, ev.data, err)
		}
		if r.read > d.limit+1<<16 {
			t.Errorf("%s without end: %d bytes were read", name, r.read)
		}
	}
}

func FuzzSSE(f *testing.F) {
	for _, s := range []string{"", "data: a\n\n", "event: e\r\ndata: a\rdata: b\n\r\n", "\uFEFF: c\n\n\ndata", "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := events(strings.NewReader(string(in)))
		if err != io.EOF && !errors.Is(err, errTooLong) {
			t.Fatalf("got %v", err)
		}
		total := 0
		for _, ev := range whole {
			total += len(ev)
		}
		if total > len(in) {
			t.Errorf("%d bytes of events out of %d", total, len(in))
		}
		if bytewise, _ := events(iotest.OneByteReader(strings.NewReader(string(in)))); !slices.Equal(whole, bytewise) {
			t.Errorf("byte by byte: got %q, want %q", bytewise, whole)
		}
	})
}

func FuzzExplain(f *testing.F) {
	for _, s := range []string{"", `{"error":{"message":"m","code":1}}`, `{"error":"m"}`, `{"detail":"m"}`, "<html>\x00", "{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		message, _ := explain(in)
		if message == "" || len(message) > 4*maxDetail+len("…") || strings.ContainsAny(message, "\n\r\x00\x1b") {
			t.Errorf("got %q", message)
		}
	})
}
