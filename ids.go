package skein

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
)

// Region names hosts with short round trips between them: one replication domain.
type Region string

// Zone names a failure domain inside a region: one site, rack or power feed.
type Zone string

// NodeID names one agent process on one host; it is stable over restarts.
type NodeID string

// Incarnation tells the runs of one node apart: it rises with every start of the process.
type Incarnation uint64

// Subject is who a token speaks for (RFC 7519, section 4.1.2).
type Subject string

// SessionID names a session: the birth region, a tilde, and a name, as in "eu~k3v9x2".
type SessionID string

// ClientID names one instance of a client: one process, one browser tab, one idempotency key.
type ClientID string

// Seq numbers the events of one session from 1, without holes.
type Seq uint64

// Epoch counts how often a session's home has moved; a higher epoch fences a lower one.
type Epoch uint64

// Attempt numbers the runs of one turn from 1; a higher attempt fences a lower one.
type Attempt uint32

// TurnID is chosen by the client and makes a turn idempotent: the client's instance and a counter that only rises.
type TurnID struct {
	Client  ClientID
	Counter uint64
}

// Limits of the names above, in bytes. Names are made of letters, digits, '.', '_' and '-'.
const (
	MaxName    = 64
	MaxSubject = 255
)

// String gives the text form "client:counter".
func (t TurnID) String() string { return string(t.Client) + ":" + strconv.FormatUint(t.Counter, 10) }

// ParseTurnID reads the text form "client:counter"; the counter is at least 1.
func ParseTurnID(s string) (TurnID, error) {
	client, count, ok := strings.Cut(s, ":")
	if !ok {
		return TurnID{}, Fault(CodeMalformed, "turn id %.80q: want CLIENT:COUNTER", s)
	}
	n, err := strconv.ParseUint(count, 10, 64)
	if err != nil {
		return TurnID{}, Fault(CodeMalformed, "turn id %.80q: the counter is not a number", s)
	}
	id := TurnID{Client: ClientID(client), Counter: n}
	return id, id.Validate()
}

// Validate reports whether both halves are in range.
func (t TurnID) Validate() error {
	if err := validName("client instance", string(t.Client)); err != nil {
		return err
	}
	if t.Counter == 0 {
		return Fault(CodeMalformed, "turn id %s: the counter starts at 1", t)
	}
	return nil
}

// Session joins a birth region and a name.
func Session(r Region, name string) SessionID { return SessionID(string(r) + "~" + name) }

// Split gives the birth region and the name; the region is empty when the id has none.
func (s SessionID) Split() (Region, string) {
	region, name, ok := strings.Cut(string(s), "~")
	if !ok {
		return "", string(s)
	}
	return Region(region), name
}

// Validate reports whether the id has a birth region and a name, both in range.
func (s SessionID) Validate() error {
	region, name, ok := strings.Cut(string(s), "~")
	if !ok {
		return Fault(CodeMalformed, "session %.80q: want REGION~NAME", string(s))
	}
	if err := validName("region", region); err != nil {
		return err
	}
	return validName("session name", name)
}

// ValidName reports whether s may name a region, zone, node, client or session: 1 to MaxName letters,
// digits, '.', '_' and '-'.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return true
}

func validName(what, s string) error {
	if ValidName(s) {
		return nil
	}
	return Fault(CodeMalformed, "%s %.80q: want 1 to %d letters, digits, '.', '_' or '-'", what, s, MaxName)
}

// RandomName makes a fresh name of 13 characters (64 random bits) for a session or a client instance.
func RandomName() string {
	var b [8]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// Runner is one run of a node: a restarted node is another runner, since it has forgotten its turns.
type Runner struct {
	Node        NodeID
	Incarnation Incarnation
}

// String gives "node#incarnation".
func (r Runner) String() string { return fmt.Sprintf("%s#%d", r.Node, r.Incarnation) }

// Place is where something ran.
type Place struct {
	Node   NodeID
	Region Region
	Zone   Zone
}
