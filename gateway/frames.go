package gateway

import (
	"bufio"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// pipe is what a QUIC stream and a mesh stream have in common.
type pipe interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// framed reads and writes frames of one stream, with time limits.
type framed struct {
	conn pipe
	r    *bufio.Reader

	mu sync.Mutex
	// mu guards the field below, so that a reader which sets its next deadline cannot undo a stop
	stopped bool
}

func newFramed(conn pipe) *framed { return &framed{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)} }

// stop ends the read that waits and all that follow.
func (f *framed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.conn.SetReadDeadline(time.Unix(1, 0))
}

func (f *framed) readBy(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopped {
		f.conn.SetReadDeadline(t)
	}
}

// readIn reads one frame that must be whole within d.
func (f *framed) readIn(m proto.Message, limit int, d time.Duration) error {
	f.readBy(time.Now().Add(d))
	err := wire.ReadFrame(f.r, m, limit)
	f.readBy(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return skein.Fault(skein.CodeMalformed, "no whole frame within %s", d)
	}
	return err
}

// read waits for a frame to begin, for as long as it takes, and reads it.
func (f *framed) read(m *wire.ClientFrame) error {
	if _, err := f.r.Peek(1); err != nil {
		return err
	}
	if wire.Whole(f.r) { // as nearly always: then there is nothing to wait for
		return wire.ReadFrame(f.r, m, wire.MaxClientFrame)
	}
	return f.readIn(m, wire.MaxClientFrame, frameWithin)
}

// write puts messages on the wire in one Write.
func (f *framed) write(msgs [][]byte) error {
	f.conn.SetWriteDeadline(time.Now().Add(writeWithin))
	if len(msgs) == 1 {
		_, err := f.conn.Write(msgs[0])
		return err
	}
	n := 0
	for _, m := range msgs {
		n += len(m)
	}
	all := make([]byte, 0, n)
	for _, m := range msgs {
		all = append(all, m...)
	}
	_, err := f.conn.Write(all)
	return err
}

// next gives the next request of a line of the session o.
func (f *framed) next(o session.Opening) (request, error) {
	var frame wire.ClientFrame
	if err := f.read(&frame); err != nil {
		return request{}, err
	}
	switch b := frame.GetBody().(type) {
	case *wire.ClientFrame_Turn:
		t := b.Turn
		m := session.Message{Session: o.Session, Subject: o.Subject, Turn: t.GetId().TurnID(), Text: t.GetText()}
		m.Offset = int(min(t.GetOffset(), 1<<30))
		return request{message: m}, nil
	case *wire.ClientFrame_History:
		h := &historyRequest{after: skein.Seq(b.History.GetAfter()), limit: int(min(b.History.GetLimit(), 1<<30))}
		return request{asks: h}, nil
	case *wire.ClientFrame_Close:
		return request{ends: &endRequest{expect: skein.Seq(b.Close.GetExpect())}}, nil
	case *wire.ClientFrame_Said:
		return request{said: saidAsked(b.Said)}, nil
	case *wire.ClientFrame_Open:
		return request{}, skein.Fault(skein.CodeMalformed, "a stream is opened once")
	}
	return request{}, skein.Fault(skein.CodeMalformed, "a frame of an unknown kind")
}

// frameForm encodes for the native protocol.
type frameForm struct{ gateway skein.NodeID }

func frame(body *wire.ServerFrame) []byte {
	buf, _ := wire.AppendFrame(nil, body) // every ServerFrame has an encoding
	return buf
}

func faultFrame(turn skein.TurnID, err error) *wire.ServerFrame {
	e := wire.FromError(err)
	if turn != (skein.TurnID{}) {
		e.Id = wire.Ref(turn)
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Error{Error: e}}
}

func (f frameForm) update(u session.Update) []byte {
	switch u.Kind {
	case session.UpdateAccepted:
		return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Accepted{Accepted: &wire.Accepted{
			Id: wire.Ref(u.Turn), Seq: uint64(u.Seq), Attempt: uint32(u.Attempt), Where: wire.FromPlace(u.Place),
		}}})
	case session.UpdatePiece:
		return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Piece{Piece: &wire.Piece{
			Id: wire.Ref(u.Turn), Seq: uint64(u.Seq), Offset: uint64(u.Offset), Text: u.Text, Attempt: uint32(u.Attempt), Mode: u.Mode,
		}}})
	case session.UpdateCompleted:
		return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Completed{Completed: &wire.Completed{
			Id: wire.Ref(u.Turn), Seq: uint64(u.Seq), Reply: u.Text, Attempt: uint32(u.Attempt), Source: u.Source,
			Where: wire.FromPlace(u.Place), Gateway: string(f.gateway),
		}}})
	}
	return nil
}

func (f frameForm) alive(u session.Update) []byte {
	return f.update(session.Update{Kind: session.UpdatePiece, Turn: u.Turn, Seq: u.Seq, Attempt: u.Attempt, Offset: u.Offset})
}

func (f frameForm) fault(turn skein.TurnID, err error) []byte { return frame(faultFrame(turn, err)) }

func (f frameForm) history(p page) []byte {
	h := &wire.History{Next: uint64(p.next)}
	for i := range p.events {
		h.Events = append(h.Events, wireEvent(&p.events[i]))
	}
	return frame(&wire.ServerFrame{Body: &wire.ServerFrame_History{History: h}})
}

func wireEvent(e *session.Event) *wire.HistoryEvent {
	w := &wire.HistoryEvent{
		Seq: uint64(e.Seq), Kind: e.Kind.String(), AtMs: e.At.UnixMilli(), Attempt: uint32(e.Attempt),
		Text: e.Text, Source: e.Source, Where: wire.FromPlace(e.Place), Tool: e.Call.Tool,
	}
	if e.Turn != (skein.TurnID{}) {
		w.Id = wire.Ref(e.Turn)
	}
	return w
}

func (f frameForm) closed(st *session.State) []byte {
	return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Closed{Closed: &wire.Closed{Seq: uint64(st.Seq)}}})
}

func (f frameForm) peers(list []Peer) []byte {
	if len(list) == 0 {
		return nil
	}
	return frame(&wire.ServerFrame{Body: &wire.ServerFrame_Peers{Peers: &wire.Peers{Peers: wirePeers(list)}}})
}

func (f frameForm) goAway(list []Peer) []byte {
	return frame(&wire.ServerFrame{Body: &wire.ServerFrame_GoAway{GoAway: &wire.GoAway{Reason: "draining", Peers: wirePeers(list)}}})
}

// maxAddresses is how many addresses of one peer a client is told.
const maxAddresses = 8

func wirePeers(list []Peer) []*wire.Peer {
	var out []*wire.Peer
	for _, p := range list {
		w := &wire.Peer{Node: string(p.Node), Region: string(p.Region), Zone: string(p.Zone)}
		for _, a := range p.QUIC[:min(len(p.QUIC), maxAddresses)] {
			w.Addresses = append(w.Addresses, a.String())
		}
		out = append(out, w)
	}
	return out
}
