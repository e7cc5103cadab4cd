package replication

import (
	"encoding/base64"
	"encoding/binary"
	"math"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// cursorVersion begins a cursor. It names a place in the order of one subject's sessions and nothing of what is there: who
// makes one up begins to read his own history somewhere else.
const cursorVersion = 1

// cursor gives the opaque text form of a place.
func (p spot) cursor() string {
	buf := make([]byte, 0, 96)
	buf = append(buf, cursorVersion)
	buf = binary.AppendUvarint(buf, uint64(p.opened))
	buf = binary.AppendUvarint(buf, uint64(p.seq))
	return base64.RawURLEncoding.EncodeToString(append(buf, p.session...))
}

// parseCursor reads the text form.
func parseCursor(s string) (spot, error) {
	bad := skein.Fault(skein.CodeMalformed, "the cursor is not one of this mesh: begin without one")
	buf, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(buf) == 0 || buf[0] != cursorVersion {
		return spot{}, bad
	}
	v := varints{buf: buf[1:]}
	opened, seq := v.unsigned(), v.unsigned()
	p := spot{int64(min(opened, math.MaxInt64)), skein.SessionID(v.buf), skein.Seq(seq)}
	if v.bad || opened > math.MaxInt64 || p.session.Validate() != nil {
		return spot{}, bad
	}
	return p, nil
}

func queryPlaceToWire(p spot) *wire.QueryPlace {
	return &wire.QueryPlace{OpenedMs: p.opened, Session: string(p.session), Seq: uint64(p.seq)}
}

func queryPlaceFromWire(w *wire.QueryPlace) spot {
	return spot{w.GetOpenedMs(), skein.SessionID(w.GetSession()), skein.Seq(w.GetSeq())}
}

func searchToWire(s search) *wire.Query {
	w := &wire.Query{Subject: string(s.subject), Limit: uint32(s.limit), After: queryPlaceToWire(s.after), Sessions: s.sessions, Bytes: uint32(s.bytes)}
	if s.from != math.MinInt64 {
		w.FromMs = &s.from
	}
	if s.to != math.MaxInt64 {
		w.ToMs = &s.to
	}
	return w
}

// searchFromWire checks what another node asks.
func searchFromWire(w *wire.Query) (search, error) {
	s, err := searchOf(session.Query{Subject: skein.Subject(w.Subject), Limit: int(min(w.Limit, math.MaxInt32)), Bytes: int(min(w.Bytes, math.MaxInt32))})
	s.after, s.sessions = queryPlaceFromWire(w.After), w.Sessions
	if w.FromMs != nil {
		s.from = *w.FromMs
	}
	if w.ToMs != nil {
		s.to = *w.ToMs
	}
	return s, err
}

func foundToWire(f found) *wire.QueryAnswer {
	w := &wire.QueryAnswer{}
	for i := range f.said {
		w.Said = append(w.Said, &wire.Said{OpenedMs: toMillis(f.said[i].Opened), Event: eventToWire(&f.said[i].Event)})
	}
	if f.more {
		w.Through = queryPlaceToWire(f.through)
	}
	return w
}

func foundFromWire(w *wire.QueryAnswer) found {
	f := found{through: lastSpot, more: w.GetThrough() != nil}
	for _, x := range w.GetSaid() {
		f.said = append(f.said, session.Said{Opened: fromMillis(x.GetOpenedMs()), Event: eventFromWire(x.GetEvent())})
	}
	if f.more {
		f.through = queryPlaceFromWire(w.Through)
	}
	return f
}

// said leaves out of an event what is not conversation.
func said(opened int64, ev session.Event) session.Said {
	ev.Memory = nil
	ev.Call = session.Call{ID: ev.Call.ID, Tool: ev.Call.Tool, Done: ev.Call.Done}
	return session.Said{Opened: fromMillis(opened), Event: ev}
}
