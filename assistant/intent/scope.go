package intent

import (
	"math"

	"github.com/skein-mesh/skein/assistant/linear"
)

// The signs by which a message is found to be out of scope.
const (
	signScore  = iota // of the best class
	signMargin        // of it over the next one
	signOther         // score of the messages outside
	signKnown         // share of traits that any example has
	signCover         // share of traits that the examples of the best class have
	signWords         // the same of words alone
	signSpread        // entropy over the classes
	signLength        // 1 / (1 + words)
	signs
)

type signals [signs]float64

// sighting is what the machine says of a message.
type sighting struct {
	signs signals
	best  [3]int // classes by score; -1: there are no more
}

// spreadHeat is the heat of the softmax whose entropy is a sign.
const spreadHeat = 4

// read scores a message. The scores stay in r.
func (m *Model) read(r *reader, traits []linear.Trait) sighting {
	var known float64
	r.x, known = m.space.Vector(traits, r.x)
	n := m.machine.Classes()
	if cap(r.scores) < n {
		r.scores = make([]float32, n)
	}
	r.scores = m.machine.Scores(r.x, r.scores[:n])
	s := sighting{best: [3]int{-1, -1, -1}}
	for i, v := range r.scores[:n-1] {
		for k, b := range s.best {
			if b < 0 || v > r.scores[b] {
				copy(s.best[k+1:], s.best[k:])
				s.best[k] = i
				break
			}
		}
	}
	first := s.best[0]
	s.signs[signScore] = float64(r.scores[first])
	s.signs[signMargin] = 1
	if s.best[1] >= 0 {
		s.signs[signMargin] = float64(r.scores[first] - r.scores[s.best[1]])
	}
	s.signs[signOther] = float64(r.scores[n-1])
	s.signs[signKnown] = known
	s.signs[signSpread] = spread(r.scores[:n-1], r.scores[first])
	m.coverage(&s, r, traits, known)
	return s
}

// covers reports whether the examples of a class have a trait.
func (m *Model) covers(column int32, class int) bool {
	return m.cover[int(column)*m.words+class/64]>>(class%64)&1 == 1
}

func (m *Model) coverage(s *sighting, r *reader, traits []linear.Trait, known float64) {
	class := s.best[0]
	for _, c := range r.x {
		if m.covers(c.Column, class) {
			s.signs[signCover] += float64(c.Weight * c.Weight)
		}
	}
	s.signs[signCover] *= known
	var have, all float64
	words := 0
	for _, t := range traits {
		if !t.Unit {
			continue
		}
		col, idf := m.space.Rarity(t)
		// Function words count less where they do in the machine; a word that is said twice does not count more.
		share := min(t.Weight, 1)
		w := float64(idf*share) * float64(idf*share)
		words++
		all += w
		if col >= 0 && m.covers(col, class) {
			have += w
		}
	}
	if all > 0 {
		s.signs[signWords] = have / all
	}
	s.signs[signLength] = 1 / float64(1+words)
}

func spread(scores []float32, best float32) float64 {
	var sum, weighted float64
	for _, s := range scores {
		d := spreadHeat * float64(s-best)
		if d < -30 {
			continue
		}
		e := math.Exp(d)
		sum += e
		weighted += e * d
	}
	return math.Log(sum) - weighted/sum
}

// scope decides from the signs whether a message is outside: logistic regression over signs brought to mean 0 and
// deviation 1.
type scope struct {
	mean, deviation signals
	weights         signals
	bias            float64
}

func (s *scope) outside(v *signals) float64 {
	z := s.bias
	for i, w := range s.weights {
		z += w * (v[i] - s.mean[i]) / s.deviation[i]
	}
	return 1 / (1 + math.Exp(-z))
}

// observation is a message whose place is known.
type observation struct {
	signs   signals
	outside bool
	weight  float64
}

// prior is what the signs mean before any message was seen: it keeps a scope that few examples teach reasonable.
var prior = signals{signScore: -1, signCover: -1, signWords: -0.5, signSpread: 0.5}

const (
	priorWeight = 0.002 // of the penalty for leaving the prior, beside a mean loss
	scopeSteps  = 60
)

// fit finds the weights by Newton's method on the penalised loss (iteratively reweighted least squares: Hastie,
// Tibshirani and Friedman, The Elements of Statistical Learning, 2009, section 4.4.1).
func (s *scope) fit(all []observation) {
	s.standard(all)
	s.weights = prior
	var total float64
	for _, o := range all {
		total += o.weight
	}
	for range scopeSteps {
		if s.newton(all, total) < 1e-6 {
			break
		}
	}
}

func (s *scope) standard(all []observation) {
	var total float64
	for _, o := range all {
		total += o.weight
		for i, v := range o.signs {
			s.mean[i] += o.weight * v
		}
	}
	for i := range s.mean {
		s.mean[i] /= max(total, 1e-9)
	}
	for _, o := range all {
		for i, v := range o.signs {
			d := v - s.mean[i]
			s.deviation[i] += o.weight * d * d
		}
	}
	for i := range s.deviation {
		s.deviation[i] = max(math.Sqrt(s.deviation[i]/max(total, 1e-9)), 1e-3)
	}
}

// newton takes one step and gives its length.
func (s *scope) newton(all []observation, total float64) float64 {
	const n = signs + 1
	var a [n][n + 1]float64 // the Hessian, and the gradient in the last column
	for i := range signs {
		a[i][i] = priorWeight
		a[i][n] = priorWeight * (s.weights[i] - prior[i])
	}
	a[n-1][n-1] = 1e-6
	for _, o := range all {
		var x [n]float64
		for i, v := range o.signs {
			x[i] = (v - s.mean[i]) / s.deviation[i]
		}
		x[n-1] = 1
		p := s.outside(&o.signs)
		e := p
		if o.outside {
			e = p - 1
		}
		h := max(p*(1-p), 1e-6) * o.weight / total
		for i, xi := range x {
			a[i][n] += e * o.weight / total * xi
			for j, xj := range x {
				a[i][j] += h * xi * xj
			}
		}
	}
	step := solve(&a)
	var length float64
	for i, d := range step {
		d = max(-1, min(1, d)) // far from the end the quadratic is not to be trusted
		length += d * d
		if i == signs {
			s.bias -= d
		} else {
			s.weights[i] -= d
		}
	}
	return length
}

// solve gives x with A x = b by Gaussian elimination with pivots; b is the last column.
func solve(a *[signs + 1][signs + 2]float64) (x [signs + 1]float64) {
	const n = signs + 1
	for k := range n {
		pivot := k
		for i := k + 1; i < n; i++ {
			if math.Abs(a[i][k]) > math.Abs(a[pivot][k]) {
				pivot = i
			}
		}
		a[k], a[pivot] = a[pivot], a[k]
		for i := k + 1; i < n; i++ {
			f := a[i][k] / a[k][k]
			for j := k; j <= n; j++ {
				a[i][j] -= f * a[k][j]
			}
		}
	}
	for k := n - 1; k >= 0; k-- {
		x[k] = a[k][n]
		for j := k + 1; j < n; j++ {
			x[k] -= a[k][j] * x[j]
		}
		x[k] /= a[k][k]
	}
	return x
}
