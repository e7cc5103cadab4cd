package intent

import (
	"fmt"
	"math"
	"sync"

	"github.com/skein-mesh/skein/assistant/linear"
	"github.com/skein-mesh/skein/assistant/text"
)

// Example is a message that has a class.
type Example struct {
	Class  int // index into Set.Classes
	Tokens []text.Token
}

// Set is what a model learns from.
type Set struct {
	Classes  []string
	Examples []Example
	// Outside are messages that belong to no class. There need not be any.
	Outside [][]text.Token
	// Workers is how many goroutines train; 0 means 1. The model does not depend on it.
	Workers int
}

// Limits of a set.
const (
	MaxClasses  = 1000
	MaxExamples = 100_000 // with those outside
)

// Ranked is a class and how likely it is, 0 to 1, if the message has a class at all.
type Ranked struct {
	Class      string
	Confidence float64
}

// Guess is what a message most likely wants. Its numbers are 0 to 1.
type Guess struct {
	Ranked
	// Margin is how much more likely the class is than the next one.
	Margin float64
	// Outside is how likely the message has none of the classes.
	Outside float64
	// Exact says that the message is one of the examples.
	Exact bool
	// Next are the classes that follow, the likeliest first.
	Next [2]Ranked
}

// Model tells the class of a message.
type Model struct {
	classes []string
	space   *linear.Space
	machine *linear.Model
	exact   map[uint64]int32
	cover   []uint64 // for each trait, a bit for every class whose examples have it
	words   int      // uint64s of cover a trait
	heat    float64  // what scores are multiplied by before they become confidences
	scope   scope
	scratch sync.Pool // of *reader
}

// reader holds what one message needs. It is for one goroutine.
type reader struct {
	traits linear.Extractor
	x      []linear.Cell
	scores []float32
}

// Train learns from a set. It fails when the set is beyond the limits or names a class that it does not have.
func Train(set Set) (*Model, error) {
	n := len(set.Examples) + len(set.Outside)
	if len(set.Classes) > MaxClasses || n > MaxExamples {
		return nil, fmt.Errorf("train intents: %d classes and %d examples, at most %d and %d", len(set.Classes), n, MaxClasses, MaxExamples)
	}
	for i, e := range set.Examples {
		if e.Class < 0 || e.Class >= len(set.Classes) {
			return nil, fmt.Errorf("train intents: example %d: class %d of %d", i, e.Class, len(set.Classes))
		}
	}
	c := newCorpus(set)
	m := c.learn(c.every(), settings(set.Workers))
	m.classes = set.Classes
	m.exact = make(map[uint64]int32, len(set.Examples))
	for _, e := range set.Examples {
		k := key(e.Tokens)
		if _, ok := m.exact[k]; !ok && len(e.Tokens) > 0 {
			m.exact[k] = int32(e.Class)
		}
	}
	c.calibrate(m, set.Workers)
	return m, nil
}

// corpus is a set as traits. Messages outside have the class after the last.
type corpus struct {
	classes  int
	messages [][]linear.Trait
	labels   []int32
	weak     float32 // how much function words count
}

func newCorpus(set Set) *corpus {
	c := &corpus{classes: len(set.Classes)}
	if len(set.Examples)+len(set.Outside) < manyExamples {
		c.weak = weakShare
	}
	x := linear.Extractor{Weak: c.weak}
	add := func(ts []text.Token, class int) {
		c.messages = append(c.messages, append([]linear.Trait(nil), x.Traits(ts)...))
		c.labels = append(c.labels, int32(class))
	}
	for _, e := range set.Examples {
		add(e.Tokens, e.Class)
	}
	for _, ts := range set.Outside {
		add(ts, c.classes)
	}
	return c
}

func (c *corpus) every() []int {
	all := make([]int, len(c.labels))
	for i := range all {
		all[i] = i
	}
	return all
}

// manyExamples is from how many examples on a trait must be in two of them, and rarity tells function words from
// others.
const manyExamples = 2000

// weakShare is how much function words count where examples are fewer.
const weakShare = 0.35

// cost is high, since examples are short and few: an error weighs more than small weights.
const cost = 4

func settings(workers int) linear.Settings {
	return linear.Settings{Cost: cost, Epochs: 15, Workers: workers}
}

// learn trains on the messages at the given places, without calibration.
func (c *corpus) learn(at []int, set linear.Settings) *Model {
	messages, labels := make([][]linear.Trait, len(at)), make([]int32, len(at))
	for i, k := range at {
		messages[i], labels[i] = c.messages[k], c.labels[k]
	}
	least := 1
	if c.weak == 0 {
		least = 2
	}
	m := &Model{space: linear.NewSpace(messages, least), words: (c.classes + 64) / 64}
	weak := c.weak // not c, which holds all messages
	m.scratch.New = func() any { return &reader{traits: linear.Extractor{Weak: weak}} }
	m.cover = make([]uint64, m.space.Columns()*m.words)
	rows := make([][]linear.Cell, len(at))
	for i, traits := range messages {
		rows[i], _ = m.space.Vector(traits, nil)
		for _, cell := range rows[i] {
			m.cover[int(cell.Column)*m.words+int(labels[i])/64] |= 1 << (labels[i] % 64)
		}
	}
	m.machine = linear.Train(rows, labels, m.space.Columns(), c.classes+1, set)
	return m
}

// key is the FNV-1a hash of a message's tokens; punctuation, case and spaces do not count.
func key(ts []text.Token) uint64 {
	h := uint64(14695981039346656037)
	for _, t := range ts {
		for i := range len(t.Text) {
			h = (h ^ uint64(t.Text[i])) * 1099511628211
		}
		h = (h ^ uint64(t.Kind) ^ 0x80) * 1099511628211
	}
	return h
}

// Understand tells the class of a message. A message without tokens, and a model without classes, give a guess that
// is outside.
func (m *Model) Understand(ts []text.Token) Guess {
	if len(m.classes) == 0 || len(ts) == 0 {
		return Guess{Outside: 1}
	}
	r := m.scratch.Get().(*reader)
	defer m.scratch.Put(r)
	s := m.read(r, r.traits.Traits(ts))
	p := m.confidences(r.scores)
	g := Guess{Ranked: m.ranked(s.best[0], p), Outside: m.scope.outside(&s.signs)}
	for i := range g.Next {
		g.Next[i] = m.ranked(s.best[i+1], p)
	}
	g.Margin = g.Confidence - g.Next[0].Confidence
	if class, ok := m.exact[key(ts)]; ok {
		g = Guess{Ranked: Ranked{m.classes[class], 1}, Margin: 1, Exact: true, Next: g.Next}
	}
	return g
}

func (m *Model) ranked(class int, p []float32) Ranked {
	if class < 0 {
		return Ranked{}
	}
	return Ranked{m.classes[class], float64(p[class])}
}

// confidences turns the scores of the classes into probabilities in place, by a softmax of the calibrated heat
// (temperature scaling: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017).
func (m *Model) confidences(scores []float32) []float32 {
	p := scores[:len(m.classes)]
	most := float32(math.Inf(-1))
	for _, s := range p {
		most = max(most, s)
	}
	var sum float64
	for i, s := range p {
		e := math.Exp(m.heat * float64(s-most))
		sum += e
		p[i] = float32(e)
	}
	for i := range p {
		p[i] = float32(float64(p[i]) / sum)
	}
	return p
}

// Size is about the memory of the model in bytes.
func (m *Model) Size() int {
	const perColumn, perExact = 8 + 4 + 8 + 4, 24 // entries of the maps with their free room, IDF
	return m.machine.Size() + 8*len(m.cover) + perColumn*m.space.Columns() + perExact*len(m.exact)
}
