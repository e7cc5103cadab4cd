package replication

import (
	"io"
	"log/slog"
	"net"
	"testing"
)

func TestUnreadableStreamsAreTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want int
	}{
		{"a kind that is not known", []byte{99}, 1},
		{"no protobuf", []byte{streamProposals, 3, 0xff, 0xff, 0xff}, 1},
		{"a frame over the limit", []byte{streamReads, 0xff, 0xff, 0xff, 0xff, 0x7f}, 1},
		{"an end behind the hello", nil, 0},
		{"an end within a frame", []byte{streamProposals, 3, 0xff}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told := 0
			g := &Group{cfg: Config{Unreadable: func() { told++ }}, log: slog.New(slog.DiscardHandler), epochs: &epochs{}, closing: make(chan struct{})}
			near, far := net.Pipe()
			go func() {
				far.Write(hello{}.encode(0))              //nolint:errcheck // as below
				io.ReadFull(far, make([]byte, helloSize)) //nolint:errcheck // likewise
				far.Write(tt.in)                          //nolint:errcheck // the reader may end before it has read all
				far.Close()
			}()
			g.Serve(t.Context(), "peer", near)
			if told != tt.want {
				t.Errorf("told %d times, want %d", told, tt.want)
			}
		})
	}
}
