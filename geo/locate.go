package geo

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/skein-mesh/skein"
)

// Source says what a Location rests on.
type Source uint8

// Where a location comes from.
const (
	Unlocated  Source = iota // nothing is known; the caller chooses a region
	ByPrefix                 // the prefix table decided the region
	ByDatabase               // the database gave coordinates; the region is the nearest one
)

// Location is where a client is. It is comparable.
type Location struct {
	Region skein.Region // the client's region; empty when Unlocated
	At     Coordinates  // of the client, or of its region when the table decided; zero when that has none
	Source Source
}

// Locator finds clients. Its fields are read only once it is in use; the zero value locates nobody.
type Locator struct {
	Table    *Table
	Database *Database
	Regions  map[skein.Region]Coordinates // where the regions are; without, the database cannot be used
}

// Locate finds the client of a subnet and the scope of that answer: every address within the first scope bits of
// client's address, taken as a subnet, is located alike. The scope may be longer than client when that is too
// short to tell; it is at most MaxScope4 or MaxScope6, and what lies beyond those in client is not looked at.
func (l *Locator) Locate(client netip.Prefix) (Location, int) {
	if l == nil || !client.IsValid() {
		return Location{}, 0
	}
	limit := maxScope(client.Addr())
	addr := netip.PrefixFrom(client.Addr(), min(client.Bits(), limit)).Masked().Addr()
	at, scope := l.locate(addr, true)
	return at, min(scope, limit)
}

// LocateAddr finds the client at one address, for answers that nobody shares: prefixes of any length count.
func (l *Locator) LocateAddr(addr netip.Addr) Location {
	if l == nil || !addr.IsValid() {
		return Location{}
	}
	at, _ := l.locate(addr.Unmap().WithZone(""), false)
	return at
}

// Home is the location of a client that is taken to be in region.
func (l *Locator) Home(region skein.Region) Location {
	at := Location{Region: region}
	if l != nil {
		at.At = l.Regions[region]
	}
	return at
}

func (l *Locator) locate(addr netip.Addr, coarse bool) (Location, int) {
	region, scope := l.Table.lookup(addr, coarse)
	if region != "" {
		at := l.Home(region)
		at.Source = ByPrefix
		return at, scope
	}
	if len(l.Regions) == 0 {
		return Location{}, scope
	}
	at, network, ok := l.Database.lookup(addr)
	scope = max(scope, network)
	if !ok {
		return Location{}, scope
	}
	return Location{Region: l.nearest(at), At: at, Source: ByDatabase}, scope
}

// nearest gives the region closest to at; of two at the same distance the first by name.
func (l *Locator) nearest(at Coordinates) skein.Region {
	type candidate struct {
		region skein.Region
		km     float64
	}
	all := make([]candidate, 0, len(l.Regions))
	for r, c := range l.Regions {
		all = append(all, candidate{r, Distance(at, c)})
	}
	return slices.MinFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.km, b.km), cmp.Compare(a.region, b.region))
	}).region
}
