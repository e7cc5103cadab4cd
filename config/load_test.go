package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

const minimal = `
node: eu-a
region: eu
zone: a
dir: data
service: shop.example
listen:
  client: 192.0.2.1:8443
files:
  ca: ca.pem
  cert: node.pem
  key: node.key
  secret: /etc/mesh.secret
  token_key: token.pub
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "skein.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func environment(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}

func TestLoadEverything(t *testing.T) {
	path := write(t, minimal+`
  service_cert: ../service.pem
  service_key: service.key
  admin_token: admin.token
advertise: 2001:db8::1
seeds: ["192.0.2.2:7946", "[2001:db8::2]:7946"]
abroad:
  - 198.51.100.1:7947
voters:
- eu-a
- eu-b
assistant: {file: shop.yaml, watch: true}
model:
  url: http://127.0.0.1:8000/v1
  name: qwen3:8b
  key_file: model.key
  timeout: 90s
geo:
  prefixes:
    192.0.2.0/24: eu
    2001:db8:1::/48: us
  mmdb_file: city.mmdb
  coordinates:
    eu: 50.11 8.68
    us: "39.04  -77.49"
limits:
  turns_per_second: 2.5
  burst: 10
  sessions: 32
memory:
  gc_percent: 250
drain: 1m30s
no_takeover: true
`)
	got, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	addr := netip.MustParseAddrPort
	want := node.Config{
		Node: "eu-a", Region: "eu", Zone: "a", Dir: filepath.Join(dir, "data"), Service: "shop.example",
		Listen: node.Listen{
			Client: addr("192.0.2.1:8443"), Admin: addr("127.0.0.1:8080"),
			Gossip: addr("0.0.0.0:7946"), Global: addr("0.0.0.0:7947"),
		},
		Advertise: netip.MustParseAddr("2001:db8::1"),
		Seeds:     []netip.AddrPort{addr("192.0.2.2:7946"), addr("[2001:db8::2]:7946")},
		Abroad:    []netip.AddrPort{addr("198.51.100.1:7947")},
		Voters:    []skein.NodeID{"eu-a", "eu-b"},
		Files: node.Files{
			CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "node.pem"), Key: filepath.Join(dir, "node.key"),
			ServiceCert: filepath.Join(filepath.Dir(dir), "service.pem"), ServiceKey: filepath.Join(dir, "service.key"),
			Secret: "/etc/mesh.secret", TokenKey: filepath.Join(dir, "token.pub"), AdminToken: filepath.Join(dir, "admin.token"),
		},
		AssistantFile: filepath.Join(dir, "shop.yaml"), AssistantWatch: true,
		Model: node.Model{URL: "http://127.0.0.1:8000/v1", Name: "qwen3:8b", KeyFile: filepath.Join(dir, "model.key"), Timeout: 90 * time.Second},
		Geo: node.Geo{
			Prefixes: []node.GeoPrefix{
				{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Region: "eu"},
				{Prefix: netip.MustParsePrefix("2001:db8:1::/48"), Region: "us"},
			},
			MMDBFile:    filepath.Join(dir, "city.mmdb"),
			Coordinates: map[skein.Region]node.Coordinates{"eu": {Latitude: 50.11, Longitude: 8.68}, "us": {Latitude: 39.04, Longitude: -77.49}},
		},
		Limits: node.Limits{TurnsPerSecond: 2.5, Burst: 10, Sessions: 32},
		Drain:  90 * time.Second, NoTakeover: true, GCPercent: 250,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPrecedence(t *testing.T) {
	path := write(t, minimal+"drain: 1s\nseeds: [192.0.2.2:1, 192.0.2.3:1]\n")
	env := environment(map[string]string{
		"SKEIN_DRAIN": "2s", "SKEIN_ZONE": "b", "SKEIN_SEEDS": "192.0.2.4:1, 192.0.2.5:1", "SKEIN_REGION": "",
		"SKEIN_FILES_CA": "here/ca.pem", "SKEIN_GEO_PREFIXES": "192.0.2.0/24=eu,2001:db8::/32=us",
		"SKEIN_GEO_COORDINATES": "eu=50.11 8.68",
	})
	c, err := Load(path, env, map[string]string{"drain": "3s", "listen-client": "192.0.2.9:9", "files.service_cert": "", "node": ""})
	if err != nil {
		t.Fatal(err)
	}
	type values struct {
		drain                     time.Duration
		zone                      skein.Zone
		region                    skein.Region
		node                      skein.NodeID
		seeds, prefixes, regions  int
		client, admin, ca, secret string
	}
	got := values{c.Drain, c.Zone, c.Region, c.Node, len(c.Seeds), len(c.Geo.Prefixes), len(c.Geo.Coordinates),
		c.Listen.Client.String(), c.Listen.Admin.String(), c.Files.CA, c.Files.Secret}
	want := values{3 * time.Second, "b", "eu", "eu-a", 2, 2, 1, "192.0.2.9:9", "127.0.0.1:8080", "here/ca.pem", "/etc/mesh.secret"}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if c.Seeds[0] != netip.MustParseAddrPort("192.0.2.4:1") {
		t.Errorf("seeds %v, want those of the environment alone", c.Seeds)
	}
}

func TestWithoutAFile(t *testing.T) {
	env := map[string]string{}
	for _, k := range Keys() {
		if k.Needed {
			env[k.Env] = "x.y"
		}
	}
	c, err := Load("", environment(env), map[string]string{"advertise": "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Node != "x.y" || c.Dir != "x.y" || c.Listen.Client.Port() != 8443 {
		t.Errorf("got %+v", c)
	}
	_, err = Load("", nil, nil)
	faults, ok := errors.AsType[Faults](err)
	if want := len(env) + 1; !ok || len(faults) != want { // and advertise
		t.Errorf("nothing set: got %v, want %d faults", err, want)
	}
}

// TestFaults wants the faults of a file, in lines without the file's name.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, add string
		want      []string
	}{
		{"an unknown key", "regoin: eu\n", []string{":15: regoin: unknown key; the nearest is region"}},
		{"an unknown key below another", "model:\n  url: http://h/v1\n  timeot: 10s\n", []string{":17: model.timeot: unknown key; the nearest is model.timeout"}},
		{"an unknown section", "modle:\n  url: http://h/v1\n", []string{":15: modle: unknown key; the nearest is model"}},
		{"the right key in the wrong place", "mmdb_file: a\n", []string{":15: mmdb_file: unknown key here; did you mean geo.mmdb_file?"}},
		{"nothing like it", "geo:\n  xyzzyxyzzy: 1\n", []string{":16: geo.xyzzyxyzzy: unknown key; known below geo are prefixes, mmdb_file, coordinates"}},
		{"a dotted key", "model.url: http://h/v1\n", []string{":15: model.url: write url below model"}},
		{"many at once", "drain: 10\nadvertise: here\nseeds:\n- a:1\n- 192.0.2.1:7946\n- 192.0.2.1:7946\n", []string{
			`:16: advertise: "here": want one IP address`, `:18: seeds: "a:1" is no address: want IP:PORT, as in 192.0.2.7:8443 or [2001:db8::7]:8443; names are not looked up`,
			":20: seeds: 192.0.2.1:7946 is listed twice", `:15: drain: "10" is no duration: want a number with a unit`,
		}},
		{"a scalar for a list", "seeds: 192.0.2.1:7946\n", []string{":15: seeds: want a list"}},
		{"a list for a scalar", "drain: [10s]\n", []string{":15: drain: want a plain value"}},
		{"a list for a table", "geo:\n  prefixes:\n  - eu\n", []string{":16: geo.prefixes: want a table"}},
		{"a scalar for a section", "geo: eu\n", []string{":15: geo: want keys with values here: prefixes, mmdb_file, coordinates"}},
		{"an anchor", "drain: &d 10s\n", []string{":15: drain: want a plain value"}},
		{"an empty item", "voters: [eu-a, ]\nseeds:\n-\n", []string{"seeds: an item is empty"}},
		{"a key twice", "zone: b\n", []string{":15: not YAML"}},
		{"no YAML", "drain: [\n", []string{":15: not YAML"}},
		{"two documents", "---\nnode: b\n", []string{":16: a second document"}},
		{"brackets", "seeds: " + strings.Repeat("[", 200), []string{": nested more than 100 deep"}},
		{"dashes", strings.Repeat("- ", 100_000), []string{": nested more than 100 deep"}},
		{"too large", "# " + strings.Repeat("a", maxFile), []string{": cannot be read (more than 262144 bytes)"}},
		{"a region's name", "geo:\n  prefixes:\n    192.0.2.0/24: e u\n", []string{`:17: geo.prefixes: "e u" is no name`}},
		{"bits behind a prefix", "geo:\n  prefixes: {192.0.2.1/24: eu}\n", []string{":16: geo.prefixes: 192.0.2.1/24 has bits behind its length: want 192.0.2.0/24"}},
		{"coordinates", "geo:\n  coordinates:\n    eu: 91 0\n    us: 1\n", []string{":17: geo.coordinates: \"91\": want degrees from -90 to 90", ":18: geo.coordinates: \"1\": want latitude"}},
		{"no effect", "limits: {burst: 3}\nmodel: {timeout: 3s}\nassistant: {watch: true}\nfiles2: 1\n", []string{
			":18: files2: unknown key; the nearest is files", ":17: assistant.watch: has no effect without assistant.file",
			":16: model.timeout: has no effect without model.url", ":15: limits.burst: has no effect without limits.turns_per_second",
		}},
		{"numbers", "limits:\n  turns_per_second: -1\n  sessions: many\n", []string{":16: limits.turns_per_second: \"-1\": want a number", ":17: limits.sessions: \"many\": want a whole number"}},
		{"percent", "memory: {gc_percent: 5}\n", []string{`:15: memory.gc_percent: "5": want a whole number of percent from 10 to 10000`}},
		{"truth", "no_takeover: yes\n", []string{`:15: no_takeover: "yes": want true or false`}},
		{"a password in a URL stays unsaid", "model: {url: 'ftp://u:secret@h'}\n", []string{":15: model.url: want a base URL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, minimal+c.add)
			_, err := Load(path, nil, nil)
			faults, ok := errors.AsType[Faults](err)
			if !ok || len(faults) != len(c.want) {
				t.Fatalf("got %v, want %d faults", err, len(c.want))
			}
			for i, f := range faults {
				if got := strings.TrimPrefix(f.String(), path); !strings.HasPrefix(got, c.want[i]) && !strings.HasSuffix(got, c.want[i]+": remove it or give it a value") {
					t.Errorf("fault %d: got %q, want %q", i, got, c.want[i])
				}
				if strings.Contains(f.String(), "secret@") {
					t.Errorf("fault %d tells a password: %s", i, f)
				}
			}
		})
	}
}

func TestFaultsOfOtherSources(t *testing.T) {
	path := write(t, strings.NewReplacer("zone: a\n", "", "client: 192.0.2.1:8443", "client: 0.0.0.0:7946").Replace(minimal))
	_, err := Load(path, environment(map[string]string{"SKEIN_SEEDS": "192.0.2.1", "SKEIN_GEO_PREFIXES": "eu"}),
		map[string]string{"drian": "1s", "limits-burst": "x", "xyzzyxyzzy": ""})
	want := []string{
		"--drian: unknown flag; the nearest is --drain",
		"--xyzzyxyzzy: unknown flag; see the sample",
		`$SKEIN_SEEDS: seeds: "192.0.2.1" is no address`,
		`$SKEIN_GEO_PREFIXES: geo.prefixes: "eu": want NAME=VALUE`,
		`--limits-burst: limits.burst: "x": want a whole number`,
		path + ": zone: missing: set it to the site, rack or power feed that fails as one (here, as $SKEIN_ZONE or as --zone)",
		path + ":7: advertise: missing: nobody can dial 0.0.0.0",
		"--limits-burst: limits.burst: has no effect without limits.turns_per_second",
		"the default: listen.gossip: 0.0.0.0:7946 collides with listen.client (0.0.0.0:7946): give it another port",
	}
	faults, _ := errors.AsType[Faults](err)
	for i, f := range faults {
		if i >= len(want) || !strings.HasPrefix(f.String(), want[i]) {
			t.Errorf("fault %d: %s", i, f)
		}
	}
	if len(faults) != len(want) {
		t.Errorf("%d faults, want %d", len(faults), len(want))
	}
}

func TestUnreadableFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := Load(path, nil, nil)
	if want := path + ": cannot be read (no such file or directory): name a readable file with --config"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNamesAreUnambiguous(t *testing.T) {
	var envs, flags []string
	for _, k := range Keys() {
		if slices.Contains(envs, k.Env) || slices.Contains(flags, k.Flag) {
			t.Errorf("%s: %s or --%s names two keys", k.Name, k.Env, k.Flag)
		}
		envs, flags = append(envs, k.Env), append(flags, k.Flag)
		if k.What == "" {
			t.Errorf("%s says not what it is", k.Name)
		}
	}
}

func TestCheckValue(t *testing.T) {
	for _, c := range []struct {
		key, text string
		ok        bool
	}{
		{"model.url", "http://127.0.0.1:8000/v1", true}, {"model.url", "localhost:8000", false}, {"drain", "10", false},
		{"seeds", "192.0.2.1:7946", false}, {"nothing", "", false},
	} {
		if err := CheckValue(c.key, c.text); (err == nil) != c.ok {
			t.Errorf("%s %q: got %v, want it taken: %v", c.key, c.text, err, c.ok)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"zone", "zone"}, {"zoen", "zone"}, {"Zone", "zone"}, {"sedes", "seeds"}, {"assistent", "assistant"}, {"quux", ""}, {"", ""},
	} {
		if got := nearest(c.in, children("")); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{minimal, "", "a", "- a\n", "node: &a b\nzone: *a\n", "geo: {prefixes: {192.0.2.0/24: eu}}\n", "? a\n: b\n", "<<: {node: a}\n", "%YAML 1.2\n---\n", "node: |\n  a\n", "node: !!str a\n"} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "skein.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		var faults Faults
		d := &document{path: path, values: map[string][]item{}, faults: &faults}
		if !d.parse(data) && len(faults) == 0 {
			t.Error("refused without a fault")
		}
		for key, items := range d.values {
			for _, it := range items {
				var c node.Config
				if err := find(key).set(&c, it); err != nil && err.Error() == "" {
					t.Errorf("%s: an error without words", key)
				}
			}
		}
	})
}
