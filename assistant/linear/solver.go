package linear

import (
	"math"
	"math/rand/v2"
)

// Settings of a training.
type Settings struct {
	Cost    float64 // C, how much an error costs beside large weights; 0: 1
	Epochs  int     // most passes over the examples for each class; 0: 12
	Workers int     // goroutines; 0: 1
}

// nearEnough is the range of the projected gradients that ends a descent.
const nearEnough = 0.1

// solver trains one linear support vector machine with squared hinge loss by dual coordinate descent with shrinking
// (Hsieh, Chang, Lin, Keerthi and Sundararajan, "A Dual Coordinate Descent Method for Large-scale Linear SVM",
// ICML 2008, algorithm 3). The last weight is that of a trait that every message has.
//
// Products are converted before they are added, so that no machine fuses the two and rounds otherwise.
type solver struct {
	rows   [][]Cell
	norms  []float32 // squared
	alpha  []float32
	w      []float32
	order  []int32
	near   float64 // range of the projected gradients that ends the descent
	active int     // examples of order that may still move
	upper  float64 // projected gradient above which an example rests
	most   float64 // of this pass
	least  float64
}

func newSolver(rows [][]Cell, columns int) *solver {
	s := &solver{rows: rows, norms: make([]float32, len(rows)), alpha: make([]float32, len(rows)),
		w: make([]float32, columns+1), order: make([]int32, len(rows)), near: nearEnough}
	for i, r := range rows {
		s.norms[i] = 1
		for _, c := range r {
			s.norms[i] += float32(c.Weight * c.Weight)
		}
	}
	return s
}

// fit finds the weights that tell class from all others. They are valid until the next call.
func (s *solver) fit(labels []int32, class int32, set Settings) []float32 {
	clear(s.alpha)
	clear(s.w)
	for i := range s.order {
		s.order[i] = int32(i)
	}
	shuffle := rand.New(rand.NewPCG(20, uint64(class)))
	s.active, s.upper = len(s.order), math.Inf(1)
	for range set.Epochs {
		shuffle.Shuffle(s.active, func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
		s.pass(labels, class, float32(0.5/set.Cost))
		if s.most-s.least > s.near {
			if s.upper = s.most; s.upper <= 0 {
				s.upper = math.Inf(1)
			}
			continue
		}
		if s.active == len(s.order) {
			break
		}
		s.active, s.upper = len(s.order), math.Inf(1)
	}
	return s.w
}

// pass moves every active example once.
func (s *solver) pass(labels []int32, class int32, diagonal float32) {
	s.most, s.least = math.Inf(-1), math.Inf(1)
	for k := 0; k < s.active; k++ {
		i := s.order[k]
		y := float32(-1)
		if labels[i] == class {
			y = 1
		}
		gradient := float32(y*s.dot(i)) - 1 + float32(s.alpha[i]*diagonal)
		projected := float64(gradient)
		if s.alpha[i] == 0 {
			if projected > s.upper {
				s.active--
				s.order[k], s.order[s.active] = s.order[s.active], i
				k--
				continue
			}
			projected = min(projected, 0)
		}
		s.most, s.least = max(s.most, projected), min(s.least, projected)
		if math.Abs(projected) < 1e-12 {
			continue
		}
		before := s.alpha[i]
		s.alpha[i] = max(before-gradient/(s.norms[i]+diagonal), 0)
		s.move(i, (s.alpha[i]-before)*y)
	}
}

func (s *solver) dot(i int32) float32 {
	sum := s.w[len(s.w)-1]
	for _, c := range s.rows[i] {
		sum += float32(s.w[c.Column] * c.Weight)
	}
	return sum
}

func (s *solver) move(i int32, step float32) {
	for _, c := range s.rows[i] {
		s.w[c.Column] += float32(step * c.Weight)
	}
	s.w[len(s.w)-1] += step
}
