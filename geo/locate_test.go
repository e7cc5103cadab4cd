package geo

import (
	"bytes"
	"math"
	"net"
	"net/netip"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/skein-mesh/skein"
)

var world = map[skein.Region]Coordinates{"eu": {50.1, 8.7}, "us": {39.0, -77.5}, "ap": {35.7, 139.7}}

func city(lat, lon float64) mmdbtype.Map {
	return mmdbtype.Map{"location": mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(lon)}}
}

func continent(code string) mmdbtype.Map {
	return mmdbtype.Map{"continent": mmdbtype.Map{"code": mmdbtype.String(code)}}
}

// mmdb writes a database in memory.
func mmdb(t testing.TB, version int, records map[string]mmdbtype.Map) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "Test-City", IPVersion: version, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, r := range records {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, r); err != nil {
			t.Fatalf("%s: %v", cidr, err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustMMDB(t testing.TB, version int, records map[string]mmdbtype.Map) *Database {
	t.Helper()
	d, err := ParseMMDB(mmdb(t, version, records))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLocate(t *testing.T) {
	l := &Locator{
		Table: mustTable(t, "192.0.2.0/24", "eu", "198.51.100.0/24", "us", "198.51.100.64/26", "ap",
			"192.0.0.0/23", "xx", "2001:db8:1::/48", "eu", "2001:db8:1:1::/64", "us"),
		Database: mustMMDB(t, 6, map[string]mmdbtype.Map{
			"81.2.69.0/24":     city(51.5, -0.1),
			"81.2.70.128/25":   city(37.8, -122.4),
			"175.16.0.0/16":    continent("AS"),
			"5.0.0.0/8":        continent("??"),
			"6.0.0.0/8":        city(120, 0),
			"2001:470::/32":    continent("NA"),
			"2001:4800:1::/64": city(48.8, 2.3),
		}),
		Regions: world,
	}
	tests := []struct {
		name, client string
		region       skein.Region
		source       Source
		scope        int
	}{
		{"table", "192.0.2.0/24", "eu", ByPrefix, 24},
		{"longer than the cap", "192.0.2.77/32", "eu", ByPrefix, 24},
		{"an entry beyond the cap takes no part", "198.51.100.64/26", "us", ByPrefix, 24},
		{"a region without coordinates", "192.0.1.0/24", "xx", ByPrefix, 23},
		{"shorter than what decides", "192.0.0.0/16", "xx", ByPrefix, 23},
		{"IPv6 table", "2001:db8:1::/48", "eu", ByPrefix, 48},
		{"IPv6 beyond the cap", "2001:db8:1:1::/64", "eu", ByPrefix, 48},
		{"city", "81.2.69.0/24", "eu", ByDatabase, 24},
		{"half of a /24 decides by its first address", "81.2.70.0/24", "", Unlocated, 24},
		{"the same from the other half", "81.2.70.200/32", "", Unlocated, 24},
		{"continent", "175.16.199.0/24", "ap", ByDatabase, 16},
		{"unknown continent", "5.6.7.0/24", "", Unlocated, 8},
		{"coordinates out of range", "6.6.7.0/24", "", Unlocated, 8},
		{"IPv6 continent", "2001:470:1::/48", "us", ByDatabase, 32},
		{"IPv6 city longer than the cap", "2001:4800:1::/56", "eu", ByDatabase, 56},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, scope := l.Locate(netip.MustParsePrefix(tt.client))
			if at.Region != tt.region || at.Source != tt.source || scope != tt.scope {
				t.Errorf("%s: got %q by %d, scope %d, want %q by %d, scope %d",
					tt.client, at.Region, at.Source, scope, tt.region, tt.source, tt.scope)
			}
		})
	}
	t.Run("scopes around are exact", func(t *testing.T) {
		for _, tt := range tests {
			p := netip.MustParsePrefix(tt.client)
			at, scope := l.Locate(p)
			again, same := l.Locate(netip.PrefixFrom(p.Addr(), scope).Masked())
			if at.Source == ByPrefix && p.Bits() >= scope && (again != at || same != scope) {
				t.Errorf("%s: got %+v/%d for its scope, want %+v/%d", p, again, same, at, scope)
			}
		}
	})
}

func TestLocateAddr(t *testing.T) {
	l := &Locator{Table: mustTable(t, "198.51.100.0/24", "us", "198.51.100.64/26", "ap"), Regions: world}
	for addr, want := range map[string]skein.Region{
		"198.51.100.70": "ap", "198.51.100.1": "us", "::ffff:198.51.100.70": "ap", "192.0.2.1": "", "fe80::1%eth0": "",
	} {
		if got := l.LocateAddr(netip.MustParseAddr(addr)); got.Region != want {
			t.Errorf("%s: got %q, want %q", addr, got.Region, want)
		}
	}
	var none *Locator
	if got := none.LocateAddr(netip.MustParseAddr("192.0.2.1")); got != (Location{}) {
		t.Errorf("nil locator: got %+v", got)
	}
	if got, scope := none.Locate(netip.MustParsePrefix("192.0.2.0/24")); got != (Location{}) || scope != 0 {
		t.Errorf("nil locator: got %+v/%d", got, scope)
	}
}

// TestIPv4Database: an IPv6 client is not in it, which is no error.
func TestIPv4Database(t *testing.T) {
	l := &Locator{Database: mustMMDB(t, 4, map[string]mmdbtype.Map{"81.2.69.0/24": city(51.5, -0.1)}), Regions: world}
	if at, scope := l.Locate(netip.MustParsePrefix("81.2.69.0/24")); at.Region != "eu" || scope != 24 {
		t.Errorf("got %q/%d, want eu/24", at.Region, scope)
	}
	if at, _ := l.Locate(netip.MustParsePrefix("2001:db8::/56")); at.Source != Unlocated {
		t.Errorf("IPv6: got %+v, want unlocated", at)
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		name string
		a, b Coordinates
		want float64 // km
	}{
		{"none", Coordinates{50, 8}, Coordinates{50, 8}, 0},
		{"Paris to London", Coordinates{48.8566, 2.3522}, Coordinates{51.5074, -0.1278}, 343.6},
		{"over the date line", Coordinates{0, 179}, Coordinates{0, -179}, 222.4},
		{"to the other side", Coordinates{0, 0}, Coordinates{0, 180}, math.Pi * earthKm},
		{"pole to pole", Coordinates{90, 0}, Coordinates{-90, 77}, math.Pi * earthKm},
	}
	for _, tt := range tests {
		if got := Distance(tt.a, tt.b); math.Abs(got-tt.want) > 0.1 {
			t.Errorf("%s: got %.1f km, want %.1f", tt.name, got, tt.want)
		}
	}
}

func FuzzParseMMDB(f *testing.F) {
	good := mmdb(f, 6, map[string]mmdbtype.Map{"81.2.69.0/24": city(51.5, -0.1), "2001:470::/32": continent("NA")})
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseMMDB(data)
		if err != nil {
			return
		}
		l := Locator{Database: d, Regions: world}
		for _, p := range []string{"81.2.69.0/24", "2001:470::/48"} {
			if at, scope := l.Locate(netip.MustParsePrefix(p)); scope < 0 || scope > MaxScope6 || !at.At.Valid() {
				t.Errorf("%s: got %+v/%d", p, at, scope)
			}
		}
	})
}
