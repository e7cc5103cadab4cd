package gateway

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// following turns the frames of a turn's home into updates, each byte of the reply once, over any number of
// streams.
type following struct {
	m        session.Message
	reached  int // bytes of the reply that have been emitted, or that the client had before
	accepted bool
	emit     func(session.Update) error
}

// take gets one frame, and reports whether the turn is over.
func (f *following) take(w *wire.ServerFrame) (bool, error) {
	switch b := w.GetBody().(type) {
	case *wire.ServerFrame_Accepted:
		if b.Accepted.GetId().TurnID() != f.m.Turn || f.accepted {
			return false, nil
		}
		f.accepted = true
		a := b.Accepted
		return false, f.emit(session.Update{
			Kind: session.UpdateAccepted, Turn: f.m.Turn, Seq: skein.Seq(a.GetSeq()),
			Attempt: skein.Attempt(a.GetAttempt()), Place: a.GetWhere().Place(),
		})
	case *wire.ServerFrame_Piece:
		if b.Piece.GetId().TurnID() != f.m.Turn {
			return false, nil
		}
		if b.Piece.GetText() == "" && b.Piece.GetMode() == "" {
			return false, f.emit(session.Update{Kind: session.UpdatePiece, Turn: f.m.Turn, Offset: f.reached})
		}
		return false, f.piece(b.Piece)
	case *wire.ServerFrame_Completed:
		c := b.Completed
		if c.GetId().TurnID() != f.m.Turn {
			return false, nil
		}
		return true, f.emit(session.Update{
			Kind: session.UpdateCompleted, Turn: f.m.Turn, Seq: skein.Seq(c.GetSeq()), Text: c.GetReply(),
			Attempt: skein.Attempt(c.GetAttempt()), Source: c.GetSource(), Place: c.GetWhere().Place(),
		})
	}
	return false, nil
}

// piece emits what is new in a piece; a gap means that the stream is not to be trusted.
func (f *following) piece(p *wire.Piece) error {
	if p.GetOffset() > uint64(f.reached) {
		return fmt.Errorf("%w: a piece at byte %d, want %d", errBroken, p.GetOffset(), f.reached)
	}
	known := f.reached - int(p.GetOffset())
	text := p.GetText()
	if known >= len(text) && len(text) > 0 {
		return nil
	}
	text = text[min(known, len(text)):]
	u := session.Update{
		Kind: session.UpdatePiece, Turn: f.m.Turn, Seq: skein.Seq(p.GetSeq()), Attempt: skein.Attempt(p.GetAttempt()),
		Offset: f.reached, Text: text, Mode: p.GetMode(),
	}
	if err := f.emit(u); err != nil {
		return err
	}
	f.reached += len(text)
	return nil
}

// eventOf reads an event back from its wire form.
func eventOf(e *wire.HistoryEvent) session.Event {
	ev := session.Event{
		Seq: skein.Seq(e.GetSeq()), At: time.UnixMilli(e.GetAtMs()), Turn: e.GetId().TurnID(),
		Attempt: skein.Attempt(e.GetAttempt()), Text: e.GetText(), Source: e.GetSource(), Place: e.GetWhere().Place(),
	}
	ev.Call.Tool = e.GetTool()
	ev.Kind = session.KindOf(e.GetKind())
	return ev
}
