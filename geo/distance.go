package geo

import "math"

// earthKm is the mean radius of the Earth (IUGG, R1).
const earthKm = 6371.0088

// Coordinates are WGS 84 degrees.
type Coordinates struct {
	Latitude  float64 // -90 to 90
	Longitude float64 // -180 to 180
}

// Valid reports whether both are in range.
func (c Coordinates) Valid() bool {
	return math.Abs(c.Latitude) <= 90 && math.Abs(c.Longitude) <= 180 // false for NaN
}

// Distance is the great-circle distance in kilometres on a sphere, by the haversine formula (R. W. Sinnott,
// "Virtues of the Haversine", Sky and Telescope 68, 1984). The sphere is off by at most 0.6 %.
func Distance(a, b Coordinates) float64 {
	const rad = math.Pi / 180
	lat, lon := (b.Latitude-a.Latitude)*rad, (b.Longitude-a.Longitude)*rad
	h := square(math.Sin(lat/2)) + math.Cos(a.Latitude*rad)*math.Cos(b.Latitude*rad)*square(math.Sin(lon/2))
	return 2 * earthKm * math.Asin(math.Sqrt(min(h, 1)))
}

func square(x float64) float64 { return x * x }

// continents are points near the middle of where people live, for records that only name a continent.
var continents = map[string]Coordinates{
	"AF": {4, 20}, "AN": {-80, 0}, "AS": {28, 100}, "EU": {49, 12}, "NA": {39, -96}, "OC": {-29, 146}, "SA": {-15, -58},
}
