package assistant

import (
	"math"
	"math/rand/v2"
)

// classifier tells which intent a message has: one logistic regression an intent against all others, over
// TF-IDF weighted traits of the examples (one pass of a message costs its traits times the intents). Traits
// that no example has count in the length of a message, so a message of unknown words is like nothing. It is
// read-only after train and the same for the same examples.
type classifier struct {
	classes []string
	columns map[uint64]int32
	idf     []float32
	unknown float32   // idf of a trait that no example has
	weights []float32 // column by column
	bias    []float32
	exact   map[string]int32
}

// guess is what a message most likely wants. Confidence and margin (over the next intent) are 0 to 1.
type guess struct {
	intent     string
	confidence float64
	margin     float64
	exact      bool
}

// Thresholds of a guess.
const (
	sureConfidence = 0.30
	sureMargin     = 0.12
	// interruptConfidence is what it takes to leave a question that the message does not answer.
	interruptConfidence = 0.42
	// switchConfidence is what it takes to leave a question that the message also answers.
	switchConfidence = 0.75
)

func (g guess) sure() bool { return g.confidence >= sureConfidence && g.margin >= sureMargin }

type example struct {
	class  int32
	tokens []token
}

type sample struct {
	class int32
	x     []cell
}

type cell struct {
	column int32
	weight float32
}

const (
	trainEpochs = 40
	trainRate   = 3.0
	trainDecay  = 0.08
	// smallStep is the error below which an example teaches nothing more.
	smallStep = 0.02
	// unknownShare is how much a trait that no example has counts in the length of a message.
	unknownShare = 0.55
)

func train(classes []string, examples []example) *classifier {
	c := &classifier{classes: classes, columns: map[uint64]int32{}, exact: make(map[string]int32, len(examples))}
	traits := make([][]feature, len(examples))
	var df []int32
	for i, e := range examples {
		traits[i] = features(e.tokens)
		for _, f := range traits[i] {
			col, ok := c.columns[f.hash]
			if !ok {
				col = int32(len(df))
				c.columns[f.hash] = col
				df = append(df, 0)
			}
			df[col]++
		}
		if k := key(e.tokens); k != "" {
			if _, ok := c.exact[k]; !ok {
				c.exact[k] = e.class
			}
		}
	}
	c.idf = make([]float32, len(df))
	n := float64(len(examples))
	for i, k := range df {
		c.idf[i] = float32(1 + math.Log((1+n)/(1+float64(k))))
	}
	c.unknown = float32(1 + math.Log(1+n))
	samples := make([]sample, len(examples))
	for i := range examples {
		samples[i] = sample{class: examples[i].class, x: c.project(traits[i])}
	}
	c.fit(samples)
	return c
}

// project gives the known traits of a message, scaled by its length over all traits.
func (c *classifier) project(fs []feature) []cell {
	x := make([]cell, 0, len(fs))
	var length float64
	for _, f := range fs {
		col, ok := c.columns[f.hash]
		if !ok {
			w := float64(f.weight * c.unknown)
			length += unknownShare * w * w
			continue
		}
		w := f.weight * c.idf[col]
		length += float64(w) * float64(w)
		x = append(x, cell{col, w})
	}
	if length == 0 {
		return nil
	}
	scale := float32(1 / math.Sqrt(length))
	for i := range x {
		x[i].weight *= scale
	}
	return x
}

func (c *classifier) fit(samples []sample) {
	k := len(c.classes)
	c.weights = make([]float32, len(c.idf)*k)
	c.bias = make([]float32, k)
	for i := range c.bias {
		c.bias[i] = -2
	}
	positives := make([]int, k)
	order := make([]int, len(samples))
	for i := range samples {
		order[i] = i
		positives[samples[i].class]++
	}
	// A fixed seed: every node must come to the same weights.
	shuffle := rand.New(rand.NewPCG(20, 26))
	scores := make([]float32, k)
	for epoch := range trainEpochs {
		shuffle.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		rate := float32(trainRate / (1 + trainDecay*float64(epoch)))
		for _, i := range order {
			c.learn(&samples[i], rate, scores, positives)
		}
	}
}

// learn moves the weights one step; an intent with few examples takes larger steps for them.
func (c *classifier) learn(s *sample, rate float32, scores []float32, positives []int) {
	k := len(c.classes)
	c.score(s.x, scores)
	for class := range k {
		target, step := float32(0), rate
		if int32(class) == s.class {
			target = 1
			step *= min(4, max(1, float32(20)/float32(positives[class])))
		}
		err := target - sigmoid(scores[class])
		if err < smallStep && err > -smallStep {
			continue
		}
		for _, x := range s.x {
			c.weights[int(x.column)*k+class] += step * err * x.weight
		}
		c.bias[class] += 0.02 * step * err
	}
}

func (c *classifier) score(x []cell, scores []float32) {
	k := len(c.classes)
	copy(scores, c.bias)
	for _, f := range x {
		row := c.weights[int(f.column)*k : int(f.column)*k+k]
		for i, w := range row {
			scores[i] += w * f.weight
		}
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(float64(-x)))) }

// classify tells the intent of a message.
func (c *classifier) classify(ts []token) guess {
	if len(c.classes) == 0 || len(ts) == 0 {
		return guess{}
	}
	if class, ok := c.exact[key(ts)]; ok {
		return guess{intent: c.classes[class], confidence: 1, margin: 1, exact: true}
	}
	scores := make([]float32, len(c.classes))
	c.score(c.project(features(ts)), scores)
	best, second := 0, -1
	for i := 1; i < len(scores); i++ {
		switch {
		case scores[i] > scores[best]:
			best, second = i, best
		case second < 0 || scores[i] > scores[second]:
			second = i
		}
	}
	g := guess{intent: c.classes[best], confidence: float64(sigmoid(scores[best]))}
	g.margin = g.confidence
	if second >= 0 {
		g.margin -= float64(sigmoid(scores[second]))
	}
	return g
}
