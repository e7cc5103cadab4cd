package node

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
)

// Config is all that one node needs to know. The zero value of an optional field is its default.
type Config struct {
	Node   skein.NodeID // stable over restarts; unique in the mesh
	Region skein.Region
	Zone   skein.Zone
	Dir    string // data directory; made with mode 0700 if it does not exist

	// Service is the DNS zone that clients look up, and the TLS server name and JWT audience of the mesh.
	Service string

	Listen    Listen
	Advertise netip.Addr       // what others dial; zero: the address of Listen.Client
	Seeds     []netip.AddrPort // gossip addresses of nodes of this region; empty on the first
	Abroad    []netip.AddrPort // global gossip addresses of nodes of other regions

	// Voters are the nodes that form the region's groups when it is created; read only when Dir is empty.
	// Every one of them must list the same. Later changes follow the membership.
	Voters []skein.NodeID

	// Groups is into how many groups the region's sessions are divided, each with its own leader: 1 to 8, 0: 1. It is
	// fixed when the region is created; a node with another number refuses to start.
	Groups int

	Files Files

	AssistantFile  string // YAML; empty: the embedded shop
	AssistantWatch bool   // reload AssistantFile when it changes
	Model          Model

	Geo    Geo
	Limits Limits
	Backup Backup

	Archive Archive

	Retention Retention

	// NoTakeover leaves the open turns of a dead runner alone. It exists to show that tests notice.
	NoTakeover bool

	// GCPercent is by how much the heap may grow, in percent of what is alive, until garbage is collected; 0: the runtime's
	// own 100. It is of the whole process, so whoever owns that sets it: Run does not.
	GCPercent int

	Drain time.Duration // how long a stop waits for running turns; 0: 10 s

	Log *slog.Logger // nil: discard

	// Network opens every socket; nil: the host's. RegionGossip and GlobalGossip replace memberlist's own
	// transport, for a simulated network; nil: UDP and TCP on Listen.Gossip and Listen.Global.
	Network      mesh.Network
	RegionGossip memberlist.Transport
	GlobalGossip memberlist.Transport
	// Engine replaces Model, for a simulated network; Run closes it. nil: Model.
	Engine inference.Engine
}

// Backup is the schedule of backups, carried out by whoever leads group 0. The zero value makes none.
type Backup struct {
	To    string        // file:///DIRECTORY or s3://BUCKET/PREFIX, see OpenDepot
	Every time.Duration // from the newest one to the next; 0: 24 h
	Keep  int           // of the region's backups, the newest; 0: 7
}

// Archive is where closed sessions are kept once they are old. With one, the text of none is deleted before it is there. The
// zero value keeps none.
type Archive struct {
	To    string        // as Backup.To
	After time.Duration // since a closed session's last event, by the region's calendar; 0: 7 days
}

// MaxGroups is the most that Config.Groups may be.
const MaxGroups = replication.MaxGroups

// Listen is where a node listens; the port 0 picks one.
type Listen struct {
	Client netip.AddrPort // UDP: native protocol, HTTP/3 and the mesh; TCP: HTTP/2, WebSocket and the tether
	DNS    netip.AddrPort // UDP and TCP; the zero value: no DNS
	Admin  netip.AddrPort // TCP; keep it local
	Gossip netip.AddrPort // UDP and TCP, the region's pool
	Global netip.AddrPort // UDP and TCP, the pool of the regions' voters
}

// Files are PEM and secret files; all are needed but AdminToken, without which the admin endpoint answers
// /healthz and /readyz only.
type Files struct {
	CA          string // certificates of the mesh CA
	Cert, Key   string // this node's mesh identity
	ServiceCert string // what clients see; empty: Cert
	ServiceKey  string // empty: Key
	Secret      string // 32 bytes or more that all nodes share: gossip key, ticket keys
	TokenKey    string // Ed25519 public key (PKIX PEM) that verifies clients' tokens
	AdminToken  string // one line
}

// Model is an OpenAI-compatible server that the assistant may ask.
type Model struct {
	URL     string        // base URL, as in http://127.0.0.1:8000/v1; empty: no model
	Name    string        // empty: the first that /models lists
	KeyFile string        // bearer key; empty: none
	Timeout time.Duration // silence that ends an attempt; 0: 60 s
}

// Geo says where clients and regions are.
type Geo struct {
	Prefixes    []GeoPrefix
	MMDBFile    string // MaxMind DB with country or city data; empty: none
	Coordinates map[skein.Region]Coordinates
}

// GeoPrefix places the clients of a prefix; the longest match wins.
type GeoPrefix struct {
	Prefix netip.Prefix
	Region skein.Region
}

// Coordinates are WGS 84 degrees.
type Coordinates struct {
	Latitude  float64 // -90 to 90
	Longitude float64 // -180 to 180
}

// Limits bound what clients may ask.
type Limits struct {
	TurnsPerSecond float64 // of one subject at one node; 0: unlimited
	Burst          int     // 0: twice TurnsPerSecond, at least 1
	Sessions       int     // streams of one connection; 0: 256
}
