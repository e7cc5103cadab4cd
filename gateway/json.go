package gateway

import (
	"encoding/json"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// turnJSON is what a client says: the body of a POST, or one message of a WebSocket.
type turnJSON struct {
	ID     string `json:"id"`     // "client:counter"; empty: see turnID
	Text   string `json:"text"`   // 1 to session.MaxText bytes
	Offset int    `json:"offset"` // bytes of the reply that the client already holds
}

// acceptedJSON, pieceJSON and completedJSON are the events of a turn; Type is set on a WebSocket only.
type acceptedJSON struct {
	Type    string `json:"type,omitempty"`
	Session string `json:"session"`
	Turn    string `json:"turn"`
	Node    string `json:"node"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	Via     string `json:"via"`
	Attempt uint32 `json:"attempt"`
	Seq     uint64 `json:"seq"`
}

type pieceJSON struct {
	Type    string `json:"type,omitempty"`
	Turn    string `json:"turn"`
	Offset  int    `json:"offset"`
	Text    string `json:"text"`
	Attempt uint32 `json:"attempt"`
	Mode    string `json:"mode,omitempty"`
	Seq     uint64 `json:"seq"`
}

type completedJSON struct {
	Type     string `json:"type,omitempty"`
	Session  string `json:"session"`
	Turn     string `json:"turn"`
	Node     string `json:"node"`
	Region   string `json:"region"`
	Zone     string `json:"zone"`
	Via      string `json:"via"`
	Reply    string `json:"reply"`
	Attempts uint32 `json:"attempts"`
	Source   string `json:"source"`
	Seq      uint64 `json:"seq"`
}

// sessionJSON is where a session stands.
type sessionJSON struct {
	Type      string     `json:"type,omitempty"`
	Session   string     `json:"session"`
	Home      string     `json:"home"`
	Assistant string     `json:"assistant"`
	Epoch     uint64     `json:"epoch"`
	Seq       uint64     `json:"seq"`
	Via       string     `json:"via"`
	Created   bool       `json:"created,omitempty"`
	Closed    bool       `json:"closed,omitempty"` // it takes no new turns
	OpenTurn  string     `json:"open_turn,omitempty"`
	Turns     []keptJSON `json:"turns,omitempty"`
}

// keptJSON is a turn that the session still holds with its text.
type keptJSON struct {
	Turn    string `json:"turn"`
	Status  string `json:"status"`
	Text    string `json:"text"`
	Reply   string `json:"reply"`
	Attempt uint32 `json:"attempt"`
	Source  string `json:"source,omitempty"`
	Node    string `json:"node,omitempty"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Seq     uint64 `json:"seq"`
}

type historyJSON struct {
	Type   string      `json:"type,omitempty"`
	Events []eventJSON `json:"events"`
	Next   uint64      `json:"next,omitempty"` // absent: the end
}

type eventJSON struct {
	Seq     uint64 `json:"seq"`
	Kind    string `json:"kind"`
	At      string `json:"at"` // see stamp
	Turn    string `json:"turn,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	Text    string `json:"text,omitempty"`
	Source  string `json:"source,omitempty"`
	Node    string `json:"node,omitempty"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Tool    string `json:"tool,omitempty"`
}

// jsonForm makes the JSON of one session's answers.
type jsonForm struct {
	session skein.SessionID
	gateway skein.NodeID
	typed   bool // with "type", for a WebSocket
}

func (f jsonForm) kind(name string) string {
	if f.typed {
		return name
	}
	return ""
}

func (f jsonForm) accepted(u session.Update) acceptedJSON {
	return acceptedJSON{
		Type: f.kind("accepted"), Session: string(f.session), Turn: u.Turn.String(), Node: string(u.Place.Node),
		Region: string(u.Place.Region), Zone: string(u.Place.Zone), Via: string(f.gateway), Attempt: uint32(u.Attempt),
		Seq: uint64(u.Seq),
	}
}

func (f jsonForm) piece(u session.Update) pieceJSON {
	return pieceJSON{
		Type: f.kind("piece"), Turn: u.Turn.String(), Offset: u.Offset, Text: u.Text, Attempt: uint32(u.Attempt),
		Mode: u.Mode, Seq: uint64(u.Seq),
	}
}

func (f jsonForm) completed(u session.Update) completedJSON {
	return completedJSON{
		Type: f.kind("completed"), Session: string(f.session), Turn: u.Turn.String(), Node: string(u.Place.Node),
		Region: string(u.Place.Region), Zone: string(u.Place.Zone), Via: string(f.gateway), Reply: u.Text,
		Attempts: uint32(u.Attempt), Source: u.Source, Seq: uint64(u.Seq),
	}
}

func (f jsonForm) state(st *session.State) sessionJSON {
	s := sessionJSON{
		Type: f.kind("opened"), Session: string(f.session), Home: string(st.Home), Assistant: st.Assistant,
		Epoch: uint64(st.Epoch), Seq: uint64(st.Seq), Via: string(f.gateway),
		Closed: st.Phase == session.PhaseClosed,
	}
	if t, ok := st.OpenTurn(); ok {
		s.OpenTurn = t.ID.String()
	}
	return s
}

func keptOf(t *session.Turn) keptJSON {
	return keptJSON{
		Turn: t.ID.String(), Status: t.Status.String(), Text: t.Text, Reply: t.Reply, Attempt: uint32(t.Attempt),
		Source: t.Source, Node: string(t.Place.Node), Region: string(t.Place.Region), Zone: string(t.Place.Zone), Seq: uint64(t.Seq),
	}
}

func (f jsonForm) page(p page) historyJSON {
	h := historyJSON{Type: f.kind("history"), Events: []eventJSON{}, Next: uint64(p.next)}
	for i := range p.events {
		h.Events = append(h.Events, eventJSONOf(&p.events[i]))
	}
	return h
}

// stamp is RFC 3339 with milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

func eventJSONOf(e *session.Event) eventJSON {
	j := eventJSON{
		Seq: uint64(e.Seq), Kind: e.Kind.String(), At: e.At.UTC().Format(stamp),
		Attempt: uint32(e.Attempt), Text: e.Text, Source: e.Source, Node: string(e.Place.Node),
		Region: string(e.Place.Region), Zone: string(e.Place.Zone), Tool: e.Call.Tool,
	}
	if e.Turn != (skein.TurnID{}) {
		j.Turn = e.Turn.String()
	}
	return j
}

// encoded gives the JSON of a form; the forms above always have one.
func encoded(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return data
}
