package replication

import (
	"strings"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

func eventToWire(e *session.Event) *wire.Event {
	return &wire.Event{
		Session: string(e.Session), Seq: uint64(e.Seq), Kind: uint32(e.Kind), AtMs: toMillis(e.At), Clock: int64(e.Clock),
		Client: string(e.Turn.Client), Counter: e.Turn.Counter, Attempt: uint32(e.Attempt),
		Runner: runnerToWire(e.Runner), Place: placeToWire(e.Place),
		Text: validText(e.Text), Offset: uint64(e.Offset), Mode: e.Mode, Memory: e.Memory, Source: e.Source, Call: callToWire(&e.Call),
		Subject: string(e.Subject), Assistant: e.Assistant, Home: string(e.Home),
		CalendarMs: int64(e.Calendar),
	}
}

func eventFromWire(w *wire.Event) session.Event {
	return session.Event{
		Session: skein.SessionID(w.GetSession()), Seq: skein.Seq(w.GetSeq()), Kind: session.Kind(w.GetKind()),
		At: fromMillis(w.GetAtMs()), Clock: session.Committed(w.GetClock()),
		Turn:    skein.TurnID{Client: skein.ClientID(w.GetClient()), Counter: w.GetCounter()},
		Attempt: skein.Attempt(w.GetAttempt()), Runner: runnerFromWire(w.GetRunner()), Place: w.GetPlace().Place(),
		Text: w.GetText(), Offset: int(w.GetOffset()), Mode: w.GetMode(), Memory: w.GetMemory(), Source: w.GetSource(),
		Call: callFromWire(w.GetCall()), Subject: skein.Subject(w.GetSubject()), Assistant: w.GetAssistant(), Home: skein.Region(w.GetHome()),
		Calendar: session.Calendar(w.GetCalendarMs()),
	}
}

// validText mends a text that was cut at a byte count in the middle of a character: protobuf stores UTF-8 only.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
