package session

import "github.com/skein-mesh/skein"

// Message is what a client of a session sends: one turn.
type Message struct {
	Session skein.SessionID
	Subject skein.Subject
	Turn    skein.TurnID
	Text    string
	Offset  int // bytes of the reply that the client already holds
}

// UpdateKind is the kind of an Update.
type UpdateKind uint8

// What happens to a turn, as its client sees it.
const (
	UpdateAccepted  UpdateKind = iota + 1 // the turn is in the log
	UpdatePiece                           // text of the reply, committed; empty: a sign of life
	UpdateCompleted                       // the reply is whole
)

// Update tells the client of a turn how far it is.
type Update struct {
	Kind    UpdateKind
	Turn    skein.TurnID
	Seq     skein.Seq
	Attempt skein.Attempt
	Place   skein.Place // where the turn runs or ran
	Offset  int         // UpdatePiece: where Text begins in the reply
	Text    string      // UpdatePiece: the piece; UpdateCompleted: the whole reply
	Source  string      // UpdateCompleted
	Mode    string      // UpdatePiece: set where an attempt went on behind the text of another
	More    bool        // another update follows at once: both may travel together
}

// Opening asks for a session. It never claims anything: without Create it only reads.
type Opening struct {
	Session   skein.SessionID // with its region
	Subject   skein.Subject
	Assistant string    // empty: the mesh's default
	Create    bool      // open it when it does not exist; only its birth region does
	Seen      skein.Seq // answer with a state at least this new
	Fresh     bool      // answer with all that was committed before: a client's first look, from which it takes its turn ids
}
