package config

import (
	"net/netip"

	"github.com/skein-mesh/skein/node"
)

// source says where keys were set.
type source struct {
	path  string
	where map[string]string
}

// of gives the place of a key, or the file where the key is not set.
func (s source) of(key string) string {
	if w := s.where[key]; w != "" {
		return w
	}
	if s.path == "" {
		return "configuration"
	}
	return s.path
}

func (s source) has(key string) bool { return s.where[key] != "" }

// check finds what is wrong between keys that are right by themselves.
func check(c *node.Config, set source, faults *Faults) {
	for _, s := range settings {
		if s.needed && !set.has(s.key) {
			faults.add(set.of(s.key), s.key, "missing: set it to %s (here, as $%s or as --%s)", s.what, s.env(), s.flag())
		}
	}
	if c.Listen.Client.IsValid() && c.Listen.Client.Addr().IsUnspecified() && !set.has("advertise") {
		faults.add(set.of("listen.client"), "advertise",
			"missing: nobody can dial %s, set advertise to this host's address", c.Listen.Client.Addr())
	}
	for _, pair := range [][2]string{
		{"files.service_cert", "files.service_key"}, {"files.service_key", "files.service_cert"},
		{"assistant.watch", "assistant.file"},
		{"model.name", "model.url"}, {"model.key_file", "model.url"}, {"model.timeout", "model.url"},
		{"backup.every", "backup.to"}, {"backup.keep", "backup.to"}, {"archive.after", "archive.to"},
		{"limits.burst", "limits.turns_per_second"},
	} {
		if set.has(pair[0]) && !set.has(pair[1]) {
			faults.add(set.of(pair[0]), pair[0], "has no effect without %s: set that too, or remove this", pair[1])
		}
	}
	checkPorts(c, set, faults)
}

// checkPorts refuses two sockets of one address; every one of them takes TCP.
func checkPorts(c *node.Config, set source, faults *Faults) {
	sockets := []struct {
		key  string
		addr netip.AddrPort
	}{
		{"listen.client", c.Listen.Client}, {"listen.dns", c.Listen.DNS}, {"listen.admin", c.Listen.Admin},
		{"listen.gossip", c.Listen.Gossip}, {"listen.global", c.Listen.Global},
	}
	for i, a := range sockets {
		for _, b := range sockets[:i] {
			if a.addr.Port() == 0 || a.addr.Port() != b.addr.Port() {
				continue
			}
			if a.addr.Addr() == b.addr.Addr() || a.addr.Addr().IsUnspecified() || b.addr.Addr().IsUnspecified() {
				faults.add(set.of(a.key), a.key, "%s collides with %s (%s): give it another port", a.addr, b.key, b.addr)
			}
		}
	}
}
