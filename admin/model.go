package admin

import (
	"context"
	"time"

	"github.com/skein-mesh/skein"
)

// Mesh is what admin needs to know of the membership, and the one thing that it may change.
type Mesh interface {
	// Members lists the nodes of all regions, dead ones that are still remembered included.
	Members() []Member
	// Drain sets or clears the drain state of any node of the mesh: this one, or another by forwarding. It
	// returns when the node has taken the order; running turns end later. skein.ErrUnknownNode for no member.
	Drain(ctx context.Context, node skein.NodeID, on bool) error
}

// Groups are the replication groups of this node's region, at least one.
type Groups interface {
	// Status tells where each group stands, in the order of their numbers.
	Status() []GroupStatus
	// Sessions gives at most limit sessions with ids above after, in order, from the local replica. A node
	// without a replica says so with an error.
	Sessions(ctx context.Context, after skein.SessionID, limit int) ([]Session, error)
}

// Health is asked by the probes; an error says in a few words what is wrong. Both answer at once.
type Health interface {
	// Live fails when only a restart helps.
	Live() error
	// Ready fails while the node should get no clients.
	Ready() error
}

// Member is one node, as GET /v1/members lists it.
type Member struct {
	Node        skein.NodeID      `json:"node"`
	Region      skein.Region      `json:"region"`
	Zone        skein.Zone        `json:"zone"`
	Incarnation skein.Incarnation `json:"incarnation"`
	Status      string            `json:"status"` // alive, suspect, dead or left
	Draining    bool              `json:"draining"`
	Voter       bool              `json:"voter"`
	Leader      bool              `json:"leader"` // of any group of this node's region; of others it is not known here
	Leads       int               `json:"leads"`  // how many groups it leads, likewise
	Load        float32           `json:"load"`   // 0 to 1
	RTT         float64           `json:"rtt_ms"` // estimated from here; 0: not known
	Since       time.Time         `json:"since"`  // of Status
	QUIC        []string          `json:"quic"`
	HTTPS       []string          `json:"https"`
	DNS         string            `json:"dns,omitempty"`
	Admin       string            `json:"admin,omitempty"`
}

// Region sums up the members of one region, as GET /v1/regions lists it.
type Region struct {
	Region       skein.Region   `json:"region"`
	Zones        []Zone         `json:"zones"`
	Nodes        int            `json:"nodes"`
	Alive        int            `json:"alive"`
	Draining     int            `json:"draining"`
	Voters       int            `json:"voters"`        // that are alive
	Local        bool           `json:"local"`         // the region of the node that answers
	Leader       skein.NodeID   `json:"leader"`        // of the first group; empty: none, or not the local region
	Leaders      []skein.NodeID `json:"leaders"`       // of all groups by number, likewise
	Quorum       bool           `json:"quorum"`        // of all groups of the local region
	SurvivesZone bool           `json:"survives_zone"` // of the local region: the loss of any one zone
}

// Zone counts the nodes of one zone.
type Zone struct {
	Zone  skein.Zone `json:"zone"`
	Nodes int        `json:"nodes"`
	Alive int        `json:"alive"`
}

// GroupStatus is where one of the region's groups stands, seen from this node.
type GroupStatus struct {
	Group        int            `json:"group"` // its number, from 0
	Role         string         `json:"role"`  // leader, follower, candidate, spare or none
	Leader       skein.NodeID   `json:"leader"`
	Term         uint64         `json:"term"`
	Quorum       bool           `json:"quorum"`
	Applied      uint64         `json:"applied"` // log index that memory has
	Durable      uint64         `json:"durable"` // log index that the database has
	Commit       uint64         `json:"commit"`
	HashIndex    uint64         `json:"hash_index"` // where Hash stands
	Hash         string         `json:"hash"`       // rolling hash of applied events, hexadecimal
	Voters       []skein.NodeID `json:"voters"`
	Spares       []skein.NodeID `json:"spares"`
	Sessions     int            `json:"sessions"`
	Closed       int            `json:"closed"`   // of Sessions
	Purged       int            `json:"purged"`   // whose text was deleted by age
	Erased       int            `json:"erased"`   // by an operator
	Calendar     time.Time      `json:"calendar"` // the group's wall time, by which ages are counted
	OpenTurns    int            `json:"open_turns"`
	DeadLetters  int            `json:"dead_letters"`
	SurvivesZone bool           `json:"survives_zone"`
}

// GroupList is the answer of GET /v1/groups: the groups of one region, by number.
type GroupList struct {
	Region skein.Region  `json:"region"`
	Groups []GroupStatus `json:"groups"`
}

// Session is one conversation without its words, as GET /v1/sessions lists it.
type Session struct {
	Session   skein.SessionID `json:"session"`
	Subject   skein.Subject   `json:"subject"`
	Assistant string          `json:"assistant"`
	Home      skein.Region    `json:"home"`
	Epoch     skein.Epoch     `json:"epoch"`
	Seq       skein.Seq       `json:"seq"`
	Turns     uint64          `json:"turns"`               // completed
	Closed    bool            `json:"closed,omitempty"`    // it takes no new turns
	OpenTurn  string          `json:"open_turn,omitempty"` // id of the turn that waits for its reply
	Node      skein.NodeID    `json:"node,omitempty"`      // that ran the last turn
}

// SessionPage is one page of GET /v1/sessions.
type SessionPage struct {
	Sessions []Session       `json:"sessions"`
	Next     skein.SessionID `json:"next,omitempty"` // pass as after; empty: the end
}

// Leader is who leads one group.
type Leader struct {
	Group  int          `json:"group"`
	Leader skein.NodeID `json:"leader"` // empty: none is known
	Me     bool         `json:"me"`
	Term   uint64       `json:"term"`
	Quorum bool         `json:"quorum"`
}

// Leaders is the answer of GET /v1/leader: the first group's, which is the only one unless the region has several, and all.
type Leaders struct {
	Region skein.Region `json:"region"`
	Leader
	Groups []Leader `json:"groups"`
}

// Build says what runs, as GET /version shows it.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// Status is everything at once, as GET /debug/status shows it.
type Status struct {
	Node        skein.NodeID      `json:"node"`
	Region      skein.Region      `json:"region"`
	Zone        skein.Zone        `json:"zone"`
	Incarnation skein.Incarnation `json:"incarnation"`
	Build       Build             `json:"build"`
	PID         int               `json:"pid"`
	Uptime      float64           `json:"uptime_seconds"`
	Live        string            `json:"live"`  // "ok", or what is wrong
	Ready       string            `json:"ready"` // likewise
	Goroutines  int               `json:"goroutines"`
	Heap        uint64            `json:"heap_bytes"` // live objects and what is not yet swept
	RSS         uint64            `json:"rss_bytes"`  // resident; 0 where the system does not tell
	Group       GroupStatus       `json:"group"`      // the first one, which is the only one unless the region has several
	Groups      []GroupStatus     `json:"groups"`
	Regions     []Region          `json:"regions"`
	Members     []Member          `json:"members"`
}

// Drained is the answer of POST /v1/nodes/{id}/drain and /undrain.
type Drained struct {
	Node     skein.NodeID `json:"node"`
	Draining bool         `json:"draining"`
}

// Failure is the body of every error, in the shape that clients get from a gateway.
type Failure struct {
	Error struct {
		Code         string     `json:"code"`
		Number       skein.Code `json:"number"`
		Message      string     `json:"message"`
		RetryAfterMS int64      `json:"retry_after_ms,omitempty"` // set where the same request may succeed later
	} `json:"error"`
}
