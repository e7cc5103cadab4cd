package tagger

import (
	"math"
	"math/rand/v2"
	"slices"
)

// field holds the weights of the random field: those of a trait with each label that the examples have it with,
// and those of one label after another.
type field struct {
	starts  []int32 // where the labels of a trait begin
	labels  []uint8
	weights []float64
	scale   float64 // every weight is to be multiplied by it
	steps   []float64
	width   int
}

func (m *field) step(prev, label uint8) float64 {
	return m.steps[int(prev)*m.width+int(label)] * m.scale
}

type reading struct {
	found, places []int32
	gold          []uint8
	allowed       *allowed
}

// Settings of the training, found on the development split of SNIPS.
const (
	epochs    = 12
	fewSteps  = 5000    // of a training with few examples, which makes more passes
	mostTimes = 5       // as many passes, at most
	penalty   = 0.00115 // of the squared weights, for each example
	firstRate = 0.1
	leastSeen = 2 // places that a trait must be at to be learnt
)

func (t *Tagger) fit(examples []Example, index map[string]int) {
	x := &extractor{book: t.book, columns: map[uint64]int32{}, grow: true, index: index}
	all := make([]reading, 0, len(examples))
	for i := range examples {
		e := &examples[i]
		if len(e.Tokens) == 0 {
			continue
		}
		x.read(e.Tokens[:min(len(e.Tokens), maxTokens)], e.Intent, e)
		all = append(all, reading{slices.Clone(x.found), slices.Clone(x.places), gold(e, index), t.intents[e.Intent]})
	}
	x.forget(all)
	t.columns = x.columns
	t.model = t.observed(all, len(x.columns))
	descend(t.model, all)
}

// forget drops traits that are at too few places.
func (x *extractor) forget(all []reading) {
	count := make([]int32, len(x.columns))
	for _, r := range all {
		for _, f := range r.found {
			count[f]++
		}
	}
	number, next := make([]int32, len(count)), int32(0)
	for i, c := range count {
		number[i] = -1
		if c >= leastSeen {
			number[i] = next
			next++
		}
	}
	for h, f := range x.columns {
		if number[f] < 0 {
			delete(x.columns, h)
		} else {
			x.columns[h] = number[f]
		}
	}
	for i := range all {
		all[i].renumber(number)
	}
}

func (r *reading) renumber(number []int32) {
	kept := r.found[:0]
	from := int32(0)
	for i := range r.gold {
		end := r.places[i+1]
		for _, f := range r.found[from:end] {
			if number[f] >= 0 {
				kept = append(kept, number[f])
			}
		}
		from = end
		r.places[i+1] = int32(len(kept))
	}
	r.found = slices.Clip(kept)
}

// observed makes room for the pairs of trait and label that the examples have.
func (t *Tagger) observed(all []reading, columns int) *field {
	width := 2*len(t.names) + 1
	seen := make([]map[uint8]bool, columns)
	for _, r := range all {
		for i, l := range r.gold {
			for _, f := range r.found[r.places[i]:r.places[i+1]] {
				if seen[f] == nil {
					seen[f] = map[uint8]bool{}
				}
				seen[f][l] = true
			}
		}
	}
	m := &field{scale: 1, steps: make([]float64, width*width), width: width}
	for _, labels := range seen {
		m.starts = append(m.starts, int32(len(m.labels)))
		for l := range uint8(width) {
			if labels[l] {
				m.labels = append(m.labels, l)
			}
		}
	}
	m.starts = append(m.starts, int32(len(m.labels)))
	m.weights = make([]float64, len(m.labels))
	return m
}

// descend finds the weights by stochastic gradient descent with an L2 penalty, one example a step, the weights
// scaled as a whole (Bottou, "Stochastic Gradient Descent Tricks", 2012, section 5.1).
func descend(m *field, all []reading) {
	const t0 = 1 / (penalty * firstRate)
	passes := min(max(epochs, fewSteps/max(len(all), 1)), mostTimes*epochs)
	shuffle := rand.New(rand.NewPCG(20, 26))
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	var c chain
	x := &extractor{}
	t := 0.0
	for range passes {
		shuffle.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			r := &all[i]
			rate := 1 / (penalty * (t0 + t))
			t++
			m.scale *= 1 - rate*penalty
			x.found, x.places = r.found, r.places
			c.allowed = r.allowed
			c.scores(m, x)
			c.sum(m)
			c.learn(m, x, r.gold, rate/m.scale)
		}
	}
	for i := range m.weights {
		m.weights[i] *= m.scale
	}
	for i := range m.steps {
		m.steps[i] *= m.scale
	}
	m.scale = 1
}

// learn moves the weights by rate along the gradient of the log-likelihood.
func (c *chain) learn(m *field, x *extractor, gold []uint8, rate float64) {
	k := len(c.allowed.labels)
	var delta [2*MaxLabels + 1]float64
	for i := range c.n {
		for j, l := range c.allowed.labels {
			delta[l] = -rate * math.Exp(c.alpha[i*k+j]+c.beta[i*k+j]-c.logZ)
		}
		delta[gold[i]] += rate
		for _, f := range x.rows(i) {
			for p := m.starts[f]; p < m.starts[f+1]; p++ {
				m.weights[p] += delta[m.labels[p]]
			}
		}
		for _, l := range c.allowed.labels {
			delta[l] = 0
		}
		if i == 0 {
			continue
		}
		m.steps[int(gold[i-1])*m.width+int(gold[i])] += rate
		for j, l := range c.allowed.labels {
			b := c.emit[i*k+j] + c.beta[i*k+j] - c.logZ
			for _, p := range c.allowed.before[j] {
				prev := c.allowed.labels[p]
				q := c.alpha[(i-1)*k+int(p)] + m.step(prev, l) + b
				if q > -20 {
					m.steps[int(prev)*m.width+int(l)] -= rate * math.Exp(q)
				}
			}
		}
	}
}
