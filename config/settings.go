package config

import (
	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

// shape is how a key is written.
type shape uint8

const (
	scalar shape = iota
	list
	table
)

// setting is one key. set is called once for a scalar and once for each item of a list or a table.
type setting struct {
	key      string
	shape    shape
	needed   bool
	testOnly bool
	fallback string // "": the node's own default, which is the zero value
	what     string
	set      func(c *node.Config, it item) error
}

// settings are all keys, in the order of the sample file.
var settings = [...]setting{
	{key: "node", needed: true, what: "a name for this node, unique in the mesh and stable over restarts",
		set: func(c *node.Config, it item) error { return setName(&c.Node, it) }},
	{key: "region", needed: true, what: "the region whose hosts have short round trips to this one",
		set: func(c *node.Config, it item) error { return setName(&c.Region, it) }},
	{key: "zone", needed: true, what: "the site, rack or power feed that fails as one",
		set: func(c *node.Config, it item) error { return setName(&c.Zone, it) }},
	{key: "dir", needed: true, what: "the data directory",
		set: func(c *node.Config, it item) error { return setPath(&c.Dir, it) }},
	{key: "service", needed: true, what: "the DNS name that clients look up",
		set: func(c *node.Config, it item) error { return setDNSName(&c.Service, it) }},

	{key: "listen.client", fallback: "0.0.0.0:8443", what: "UDP and TCP for clients and other nodes",
		set: func(c *node.Config, it item) error { return setAddrPort(&c.Listen.Client, it) }},
	{key: "listen.dns", what: "UDP and TCP for DNS",
		set: func(c *node.Config, it item) error { return setAddrPort(&c.Listen.DNS, it) }},
	{key: "listen.admin", fallback: "127.0.0.1:8080", what: "TCP for operators",
		set: func(c *node.Config, it item) error { return setAddrPort(&c.Listen.Admin, it) }},
	{key: "listen.gossip", fallback: "0.0.0.0:7946", what: "UDP and TCP for the region's pool",
		set: func(c *node.Config, it item) error { return setAddrPort(&c.Listen.Gossip, it) }},
	{key: "listen.global", fallback: "0.0.0.0:7947", what: "UDP and TCP for the pool of the regions",
		set: func(c *node.Config, it item) error { return setAddrPort(&c.Listen.Global, it) }},
	{key: "advertise", what: "the IP address that others dial",
		set: func(c *node.Config, it item) error { return setAdvertise(&c.Advertise, it) }},
	{key: "seeds", shape: list, what: "gossip addresses of nodes of this region",
		set: func(c *node.Config, it item) error { return addPeer(&c.Seeds, it) }},
	{key: "abroad", shape: list, what: "global addresses of nodes of other regions",
		set: func(c *node.Config, it item) error { return addPeer(&c.Abroad, it) }},
	{key: "voters", shape: list, what: "the nodes that form the region's group when it is created",
		set: func(c *node.Config, it item) error { return addVoter(&c.Voters, it) }},
	{key: "groups", what: "into how many groups the region's sessions are divided, fixed when it is created",
		set: func(c *node.Config, it item) error { return setGroups(&c.Groups, it) }},

	{key: "files.ca", needed: true, what: "the certificates of the mesh CA (PEM)",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.CA, it) }},
	{key: "files.cert", needed: true, what: "this node's mesh certificate (PEM)",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.Cert, it) }},
	{key: "files.key", needed: true, what: "the key of files.cert (PEM)",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.Key, it) }},
	{key: "files.service_cert", what: "the certificate that clients see (PEM)",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.ServiceCert, it) }},
	{key: "files.service_key", what: "the key of files.service_cert (PEM)",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.ServiceKey, it) }},
	{key: "files.secret", needed: true, what: "at least 32 bytes that all nodes of the mesh share",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.Secret, it) }},
	{key: "files.token_key", needed: true, what: "the Ed25519 public key that verifies clients' tokens (PEM)",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.TokenKey, it) }},
	{key: "files.admin_token", what: "the token of operators, one line",
		set: func(c *node.Config, it item) error { return setPath(&c.Files.AdminToken, it) }},

	{key: "assistant.file", what: "the definition of the assistant (YAML)",
		set: func(c *node.Config, it item) error { return setPath(&c.AssistantFile, it) }},
	{key: "assistant.watch", what: "whether an edit of assistant.file is taken up at once",
		set: func(c *node.Config, it item) error { return setBool(&c.AssistantWatch, it) }},
	{key: "model.url", what: "the base URL of an OpenAI-compatible server",
		set: func(c *node.Config, it item) error { return setURL(&c.Model.URL, it) }},
	{key: "model.name", what: "the model to ask for",
		set: func(c *node.Config, it item) error { c.Model.Name = it.text; return nil }},
	{key: "model.key_file", what: "a file with the server's bearer key",
		set: func(c *node.Config, it item) error { return setPath(&c.Model.KeyFile, it) }},
	{key: "model.timeout", what: "the silence that ends an attempt",
		set: func(c *node.Config, it item) error { return setDuration(&c.Model.Timeout, it, maxTimeout) }},

	{key: "geo.prefixes", shape: table, what: "the region of the clients of a prefix",
		set: func(c *node.Config, it item) error { return addPrefix(&c.Geo.Prefixes, it) }},
	{key: "geo.mmdb_file", what: "a MaxMind DB with country or city data",
		set: func(c *node.Config, it item) error { return setPath(&c.Geo.MMDBFile, it) }},
	{key: "geo.coordinates", shape: table, what: "where regions are",
		set: func(c *node.Config, it item) error {
			if c.Geo.Coordinates == nil {
				c.Geo.Coordinates = map[skein.Region]node.Coordinates{}
			}
			return addCoordinates(c.Geo.Coordinates, it)
		}},

	{key: "limits.turns_per_second", what: "turns of one subject at this node",
		set: func(c *node.Config, it item) error { return setRate(&c.Limits.TurnsPerSecond, it) }},
	{key: "limits.burst", what: "turns of one subject at once",
		set: func(c *node.Config, it item) error { return setCount(&c.Limits.Burst, it) }},
	{key: "limits.sessions", what: "sessions of one connection",
		set: func(c *node.Config, it item) error { return setCount(&c.Limits.Sessions, it) }},

	{key: "memory.gc_percent", fallback: "300", what: "how far the heap may grow until garbage is collected, in percent",
		set: func(c *node.Config, it item) error { return setPercent(&c.GCPercent, it) }},

	{key: "sessions.close_after", what: "how long a session may be idle before it is closed",
		set: func(c *node.Config, it item) error { return setAge(&c.Retention.CloseAfter, it) }},
	{key: "sessions.keep", what: "how long the text of a closed session is kept",
		set: func(c *node.Config, it item) error { return setAge(&c.Retention.Keep, it) }},

	{key: "backup.to", what: "where backups go: file:///DIRECTORY or s3://BUCKET/PREFIX",
		set: func(c *node.Config, it item) error { return setDepot(&c.Backup.To, it) }},
	{key: "backup.every", what: "the time from one backup to the next",
		set: func(c *node.Config, it item) error { return setPeriod(&c.Backup.Every, it, minBackup, maxPeriod) }},
	{key: "backup.keep", what: "how many backups of the region stay",
		set: func(c *node.Config, it item) error { return setCount(&c.Backup.Keep, it) }},

	{key: "archive.to", what: "where closed sessions are kept once they are old: as backup.to",
		set: func(c *node.Config, it item) error { return setDepot(&c.Archive.To, it) }},
	{key: "archive.after", what: "how old a closed session is then",
		set: func(c *node.Config, it item) error { return setAge(&c.Archive.After, it) }},

	{key: "drain", what: "how long a stop waits for running turns",
		set: func(c *node.Config, it item) error { return setDuration(&c.Drain, it, maxTimeout) }},
	{key: "no_takeover", testOnly: true, what: "for tests only: leaves the open turns of a dead node alone",
		set: func(c *node.Config, it item) error { return setBool(&c.NoTakeover, it) }},
}
