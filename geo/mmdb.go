package geo

import (
	"fmt"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Database is a MaxMind DB with city or country records (format 2.0).
type Database struct{ reader *maxminddb.Reader }

// record is what is read of a GeoIP2 or GeoLite2 City or Country record. Pointers tell absent from zero.
type record struct {
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
	Continent struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"continent"`
}

// ParseMMDB reads a database from the bytes of an .mmdb file. It keeps data, which must not be changed
// afterwards. Damage inside the tree is found at look-up, where it means "not located".
func ParseMMDB(data []byte) (*Database, error) {
	r, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("parse MMDB: %w", err)
	}
	return &Database{reader: r}, nil
}

// lookup gives the coordinates of addr's record, or the middle of its continent when it has none, and the
// length of the network that the record is for. A nil database locates nobody.
func (d *Database) lookup(addr netip.Addr) (at Coordinates, scope int, ok bool) {
	if d == nil {
		return Coordinates{}, 0, false
	}
	res := d.reader.Lookup(addr)
	if res.Err() != nil {
		return Coordinates{}, 0, false
	}
	scope = networkBits(res.Prefix(), addr)
	if !res.Found() {
		return Coordinates{}, scope, false
	}
	var r record
	if err := res.Decode(&r); err != nil {
		return Coordinates{}, scope, false
	}
	if r.Location.Latitude != nil && r.Location.Longitude != nil {
		at = Coordinates{*r.Location.Latitude, *r.Location.Longitude}
		return at, scope, at.Valid()
	}
	at, ok = continents[r.Continent.Code]
	return at, scope, ok
}

// networkBits gives p's length as a length in addr's own family: a network that holds all of IPv4 and lies in
// the IPv6 tree has length 0 there.
func networkBits(p netip.Prefix, addr netip.Addr) int {
	if addr.Is4() && !p.Addr().Is4() {
		return max(p.Bits()-96, 0)
	}
	return max(p.Bits(), 0)
}
