package archive

import (
	"encoding/json"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Line is one event of an archived session, as one line of JSON.
type Line struct {
	Session skein.SessionID `json:"session"`
	Seq     skein.Seq       `json:"seq"`
	Kind    string          `json:"kind"` // as in the history of the API: opened, accepted, completed, closed ...
	At      time.Time       `json:"at"`   // by the clock of the node that proposed it

	Subject   skein.Subject `json:"subject,omitempty"`   // of opened
	Assistant string        `json:"assistant,omitempty"` // likewise
	Home      skein.Region  `json:"home,omitempty"`      // likewise

	Turn    string        `json:"turn,omitempty"`
	Attempt skein.Attempt `json:"attempt,omitempty"`
	Node    skein.NodeID  `json:"node,omitempty"`   // where it happened
	Text    string        `json:"text,omitempty"`   // of accepted: the message; of completed: the reply; of failed: the reason
	Source  string        `json:"source,omitempty"` // of completed: what answered
	Call    *Call         `json:"call,omitempty"`   // of intent and outcome
}

// Call is a call of a tool.
type Call struct {
	ID     string `json:"id"`
	Tool   string `json:"tool"`
	Args   string `json:"args,omitempty"`
	Result string `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

func lineOf(e *session.Event) Line {
	l := Line{
		Session: e.Session, Seq: e.Seq, Kind: e.Kind.String(), At: e.At, Subject: e.Subject, Assistant: e.Assistant, Home: e.Home,
		Attempt: e.Attempt, Node: e.Place.Node, Text: e.Text, Source: e.Source,
	}
	if e.Turn != (skein.TurnID{}) {
		l.Turn = e.Turn.String()
	}
	if e.Call.Tool != "" {
		l.Call = &Call{ID: e.Call.ID, Tool: e.Call.Tool, Args: e.Call.Args, Result: e.Call.Result, Error: e.Call.Error}
	}
	return l
}

// sessionOf gives the session of a stored line.
func sessionOf(line []byte) (skein.SessionID, error) {
	var l struct {
		Session skein.SessionID `json:"session"`
	}
	err := json.Unmarshal(line, &l)
	return l.Session, err
}
