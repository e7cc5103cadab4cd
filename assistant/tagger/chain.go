package tagger

import "math"

// chain is the lattice of one message: the score of each allowed label at each token.
type chain struct {
	allowed *allowed
	n       int
	emit    []float64 // token by token
	alpha   []float64
	beta    []float64
	logZ    float64
}

// scores fills in what the model says of each token.
func (c *chain) scores(m *field, x *extractor) {
	k := len(c.allowed.labels)
	c.n = len(x.places) - 1
	c.emit = resize(c.emit, c.n*k)
	var dense [2*MaxLabels + 1]float64
	for i := range c.n {
		for _, l := range c.allowed.labels {
			dense[l] = 0
		}
		for _, f := range x.rows(i) {
			for p := m.starts[f]; p < m.starts[f+1]; p++ {
				dense[m.labels[p]] += m.weights[p]
			}
		}
		for j, l := range c.allowed.labels {
			c.emit[i*k+j] = dense[l] * m.scale
		}
	}
}

func resize(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	return s[:n]
}

// best gives the most likely labels (Viterbi 1967).
func (c *chain) best(m *field) []uint8 {
	k := len(c.allowed.labels)
	score, next := make([]float64, k), make([]float64, k)
	from := make([]uint8, c.n*k)
	for j, l := range c.allowed.labels {
		score[j] = c.emit[j]
		if !follows(outside, l) {
			score[j] = math.Inf(-1)
		}
	}
	for i := 1; i < c.n; i++ {
		for j, l := range c.allowed.labels {
			most, at := math.Inf(-1), uint8(0)
			for _, p := range c.allowed.before[j] {
				if s := score[p] + m.step(c.allowed.labels[p], l); s > most {
					most, at = s, p
				}
			}
			next[j], from[i*k+j] = most+c.emit[i*k+j], at
		}
		score, next = next, score
	}
	at := 0
	for j := range score {
		if score[j] > score[at] {
			at = j
		}
	}
	out := make([]uint8, c.n)
	for i := c.n - 1; i >= 0; i-- {
		out[i] = c.allowed.labels[at]
		at = int(from[i*k+at])
	}
	return out
}

// sum runs the forward and backward passes; alpha and beta hold log sums.
func (c *chain) sum(m *field) {
	k := len(c.allowed.labels)
	c.alpha, c.beta = resize(c.alpha, c.n*k), resize(c.beta, c.n*k)
	var terms [2*MaxLabels + 1]float64
	for j, l := range c.allowed.labels {
		c.alpha[j] = c.emit[j]
		if !follows(outside, l) {
			c.alpha[j] = math.Inf(-1)
		}
		c.beta[(c.n-1)*k+j] = 0
	}
	for i := 1; i < c.n; i++ {
		for j, l := range c.allowed.labels {
			list := terms[:0]
			for _, p := range c.allowed.before[j] {
				list = append(list, c.alpha[(i-1)*k+int(p)]+m.step(c.allowed.labels[p], l))
			}
			c.alpha[i*k+j] = logSum(list) + c.emit[i*k+j]
		}
	}
	for i := c.n - 2; i >= 0; i-- {
		row := c.beta[i*k : i*k+k]
		for j := range row {
			row[j] = math.Inf(-1)
		}
		for j, l := range c.allowed.labels {
			b := c.beta[(i+1)*k+j] + c.emit[(i+1)*k+j]
			for _, p := range c.allowed.before[j] {
				row[p] = logAdd(row[p], b+m.step(c.allowed.labels[p], l))
			}
		}
	}
	c.logZ = logSum(append(terms[:0], c.alpha[(c.n-1)*k:c.n*k]...))
}

func logSum(xs []float64) float64 {
	most := math.Inf(-1)
	for _, x := range xs {
		most = max(most, x)
	}
	if math.IsInf(most, -1) {
		return most
	}
	var sum float64
	for _, x := range xs {
		if d := x - most; d > -40 {
			sum += math.Exp(d)
		}
	}
	return most + math.Log(sum)
}

func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if d := b - a; d > -40 {
		return a + math.Log1p(math.Exp(d))
	}
	return a
}
