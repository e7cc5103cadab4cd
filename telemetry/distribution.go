package telemetry

import "math"

// Distribution is a histogram at one moment. It is not to be changed.
type Distribution struct {
	Bounds []float64 // ascending upper bounds, inclusive
	Counts []uint64  // of each bucket alone; one more than Bounds: the last one has no upper bound
	Count  uint64    // of all buckets
	Sum    float64
}

// Quantile estimates the value below which the share q of all values lies, 0 to 1, by linear interpolation inside
// the bucket; the error is at most the width of that bucket. The first bucket begins at 0, or at its bound where that
// is negative. In the last bucket the answer is the highest bound, since nothing is known above it. NaN without
// values and for a q out of range.
func (d Distribution) Quantile(q float64) float64 {
	if !(q >= 0 && q <= 1) || d.Count == 0 || len(d.Bounds) == 0 {
		return math.NaN()
	}
	rank := q * float64(d.Count)
	below := 0.0
	for i, n := range d.Counts {
		in := float64(n)
		if below+in < rank || n == 0 {
			below += in
			continue
		}
		if i == len(d.Bounds) {
			break
		}
		low := min(0, d.Bounds[0])
		if i > 0 {
			low = d.Bounds[i-1]
		}
		return low + (d.Bounds[i]-low)*(rank-below)/in
	}
	return d.Bounds[len(d.Bounds)-1]
}
