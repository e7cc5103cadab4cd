package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skein-mesh/skein/node"
)

// Key is a key that may be set.
type Key struct {
	Name    string // as in listen.client
	Env     string // as in SKEIN_LISTEN_CLIENT
	Flag    string // as in listen-client
	Default string // empty: none, or the node's own
	What    string // what it is, in a few words
	Needed  bool

	TestOnly bool // breaks a promise so that tests can notice; no sample and no help names it
}

// Keys are all keys, in the order of the sample file.
func Keys() []Key {
	keys := make([]Key, len(settings))
	for i, s := range settings {
		keys[i] = Key{Name: s.key, Env: s.env(), Flag: s.flag(), Default: s.fallback, What: s.what, Needed: s.needed, TestOnly: s.testOnly}
	}
	return keys
}

// CheckValue reports why text, written by a user outside of a configuration, is no value of the scalar key; nil for a
// value that Load would take.
func CheckValue(key, text string) error {
	s := find(key)
	if s == nil || s.shape != scalar {
		return fmt.Errorf("%.80q is no key of one value", key)
	}
	var c node.Config
	return s.set(&c, item{text: text})
}

func (s *setting) env() string {
	return "SKEIN_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func (s *setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

func find(key string) *setting {
	i := slices.IndexFunc(settings[:], func(s setting) bool { return s.key == key })
	if i < 0 {
		return nil
	}
	return &settings[i]
}

// Load makes the configuration of a node out of the file at path, the environment and flags; path may be empty, env
// and flags nil. Flags are named as Key.Flag or Key.Name. An error is of type Faults and holds everything that
// is wrong; the configuration that comes with it is incomplete.
func Load(path string, env func(string) (string, bool), flags map[string]string) (node.Config, error) {
	var faults Faults
	values := map[string][]item{}
	if path != "" {
		values = readFile(path, &faults)
		if values == nil { // nothing else can be said about what was not read
			return node.Config{}, faults
		}
	}
	byFlag := readFlags(flags, &faults)
	var c node.Config
	set := source{path: path, where: map[string]string{}}
	for i := range settings {
		s := &settings[i]
		items := values[s.key]
		if v, ok := lookup(env, s.env()); ok {
			items = s.split(v, "$"+s.env(), &faults)
		}
		if v := byFlag[s.key]; v != "" {
			items = s.split(v, "--"+s.flag(), &faults)
		}
		if len(items) == 0 && s.fallback != "" {
			items = []item{{text: s.fallback, where: "the default"}}
		}
		if len(items) > 0 {
			set.where[s.key] = items[0].where
		}
		for _, it := range items {
			if err := s.set(&c, it); err != nil {
				faults.add(it.where, s.key, "%v", err)
			}
		}
	}
	check(&c, set, &faults)
	if len(faults) > 0 {
		return c, faults
	}
	return c, nil
}

func lookup(env func(string) (string, bool), name string) (string, bool) {
	if env == nil {
		return "", false
	}
	v, ok := env(name)
	return v, ok && v != ""
}

// readFlags gives the flags' values by key.
func readFlags(flags map[string]string, faults *Faults) map[string]string {
	names := make([]string, len(settings))
	for i := range settings {
		names[i] = settings[i].flag()
	}
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		i := slices.IndexFunc(settings[:], func(s setting) bool { return s.key == name || s.flag() == name })
		if i >= 0 {
			values[settings[i].key] = flags[name]
			continue
		}
		advice := "see the sample skein.yaml for all that there are"
		if n := nearest(name, names); n != "" {
			advice = "the nearest is --" + n
		}
		faults.add("--"+name, "", "unknown flag; %s", advice)
	}
	return values
}

// split reads what an environment variable or a flag holds.
func (s *setting) split(text, where string, faults *Faults) []item {
	if s.shape == scalar {
		return []item{{text: text, where: where}}
	}
	var items []item
	for part := range strings.SplitSeq(text, ",") {
		it := item{text: strings.TrimSpace(part), where: where}
		if s.shape == table {
			var ok bool
			if it.name, it.text, ok = strings.Cut(it.text, "="); !ok {
				faults.add(where, s.key, "%.80q: want NAME=VALUE,NAME=VALUE", part)
				continue
			}
		}
		if it.text == "" {
			faults.add(where, s.key, "an item is empty: want them as a,b,c")
			continue
		}
		items = append(items, it)
	}
	return items
}
