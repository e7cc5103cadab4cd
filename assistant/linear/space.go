package linear

import "math"

// Space numbers the traits of the examples and knows how rare each is. It is read-only.
type Space struct {
	columns map[uint64]int32
	idf     []float32
	unknown float32 // idf of a trait that no example has
}

// Cell is one entry of a sparse vector.
type Cell struct {
	Column int32
	Weight float32
}

// NewSpace numbers the traits that at least least messages have.
func NewSpace(messages [][]Trait, least int) *Space {
	count := map[uint64]int{}
	for _, traits := range messages {
		for _, t := range traits {
			count[t.Hash]++
		}
	}
	s := &Space{columns: map[uint64]int32{}}
	n := float64(len(messages))
	// In the order of the messages: a map's own order would give other columns in each process.
	for _, traits := range messages {
		for _, t := range traits {
			df := count[t.Hash]
			if df < least {
				continue
			}
			if _, ok := s.columns[t.Hash]; !ok {
				s.columns[t.Hash] = int32(len(s.idf))
				s.idf = append(s.idf, float32(1+math.Log((1+n)/(1+float64(df)))))
			}
		}
	}
	s.unknown = float32(1 + math.Log(1+n))
	return s
}

// Columns is the number of known traits.
func (s *Space) Columns() int { return len(s.idf) }

// Vector appends the known traits of a message to into[:0], weighted by TF-IDF and scaled to length 1. known, 0 to
// 1, is the share of known traits in the squared weight of all.
func (s *Space) Vector(traits []Trait, into []Cell) (x []Cell, known float64) {
	x = into[:0]
	var length, strange float64
	for _, t := range traits {
		col, ok := s.columns[t.Hash]
		if !ok {
			w := float64(t.Weight * s.unknown)
			strange += w * w
			continue
		}
		w := t.Weight * s.idf[col]
		length += float64(w) * float64(w)
		x = append(x, Cell{col, w})
	}
	if length == 0 {
		return x, 0
	}
	scale := float32(1 / math.Sqrt(length))
	for i := range x {
		x[i].Weight *= scale
	}
	return x, length / (length + strange)
}

// Rarity gives the column of a trait and its IDF; a trait that no example has has column -1 and the highest IDF.
func (s *Space) Rarity(t Trait) (column int32, idf float32) {
	if col, ok := s.columns[t.Hash]; ok {
		return col, s.idf[col]
	}
	return -1, s.unknown
}
