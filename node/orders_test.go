package node

import (
	"bytes"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/telemetry"
	"github.com/skein-mesh/skein/wire"
)

// tape is a stream that has said everything already.
type tape struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (p *tape) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *tape) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p *tape) SetDeadline(time.Time) error { return nil }

// FuzzQuestions: whatever another node asks, it gets one answer or none, and what cannot be read is an error.
func FuzzQuestions(f *testing.F) {
	for _, m := range []proto.Message{
		&wire.RunRequest{Session: "eu~x", Seq: 7}, &wire.Order{Draining: true}, &wire.Order{},
	} {
		frame, err := wire.AppendFrame(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
	}
	f.Add(bytes.Repeat([]byte{0xff}, 12))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, ask := range []proto.Message{&wire.RunRequest{}, &wire.Order{}} {
			asked := 0
			p := &tape{in: bytes.NewReader(in)}
			err := answerOne(p, ask, func() proto.Message {
				asked++
				return &wire.OrderResponse{}
			})
			if (err == nil) != (asked == 1) || (err == nil) != (p.out.Len() > 0) {
				t.Fatalf("%x: error %v, acted %d times, answered %d bytes", in, err, asked, p.out.Len())
			}
		}
	})
}

func TestUnreadableQuestionsAreCounted(t *testing.T) {
	n := &Node{meters: telemetry.New()}
	for range 2 {
		n.handleOrder(t.Context(), "peer", &tape{in: bytes.NewReader([]byte{3, 0xff, 0xff, 0xff})})
	}
	n.handleRun(t.Context(), "peer", &tape{in: bytes.NewReader([]byte{3, 0xff, 0xff, 0xff})})
	got := map[string]float64{}
	for _, s := range n.meters.Snapshot() {
		got[s.Labels[0].Value] = s.Value
	}
	if got[serviceOrder] != 2 || got[serviceRun] != 1 {
		t.Errorf("counted %v, want 2 orders and 1 run", got)
	}
}
