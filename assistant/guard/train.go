package guard

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/skein-mesh/skein/assistant/linear"
	"github.com/skein-mesh/skein/assistant/text"
)

// MaxExamples is the most examples of a training.
const MaxExamples = 20_000

const (
	rounds    = 3    // of choosing the sentences that make a message an attack
	folds     = 5    // of choosing the threshold
	precision = 0.97 // that the threshold must have on examples that the machine has not seen
	epochs    = 30
	cost      = 3 // messages differ much and are few: errors weigh more than small weights
	// enough is from how many examples of a caller on the threshold is chosen by them alone.
	enough = 100
)

// sample is an example as traits.
type sample struct {
	whole     []linear.Trait
	sentences [][]linear.Trait
	attack    bool
}

// Train learns from the examples that come with the package and from those of the caller, which need not be any. The
// threshold is the lowest one that keeps its promise of precision in cross-validation.
func Train(examples []Example) (*Guard, error) {
	if len(examples) > MaxExamples {
		return nil, fmt.Errorf("train guard: %d examples, at most %d", len(examples), MaxExamples)
	}
	given := len(examples)
	examples = slices.Concat(examples, builtin())
	var x linear.Extractor
	traits := func(ts []text.Token) []linear.Trait { return slices.Clone(x.Traits(ts)) }
	samples := make([]sample, 0, len(examples))
	for _, e := range examples {
		m := text.Read(e.Text, maxRunes)
		if len(m.Tokens) == 0 {
			continue
		}
		s := sample{whole: traits(m.Tokens), attack: e.Attack}
		for _, p := range sentences(m, e.Text) {
			s.sentences = append(s.sentences, traits(m.Tokens[p.from:p.to]))
		}
		samples = append(samples, s)
	}
	g := learn(samples)
	if given < enough {
		given = len(samples)
	}
	g.threshold = choose(samples, min(given, len(samples)))
	return g, nil
}

// learn trains the two machines.
func learn(samples []sample) *Guard {
	all := make([][]linear.Trait, len(samples))
	for i, s := range samples {
		all[i] = s.whole
	}
	g := &Guard{space: linear.NewSpace(all, 1)}
	g.scratch.New = newReader
	rows, labels := make([][]linear.Cell, len(samples)), make([]int32, len(samples))
	for i, s := range samples {
		rows[i], _ = g.space.Vector(s.whole, nil)
		labels[i] = label(s.attack)
	}
	g.whole = train(rows, labels, g.space)
	g.sentence = g.whole
	for range rounds {
		g.sentence = g.round(samples)
	}
	return g
}

// label is the class of a message: 0 for an attack, 1 for none of the classes.
func label(attack bool) int32 {
	if attack {
		return 0
	}
	return 1
}

func train(rows [][]linear.Cell, labels []int32, space *linear.Space) *linear.Model {
	return linear.Train(rows, labels, space.Columns(), 1, linear.Settings{Epochs: epochs, Cost: cost})
}

// round trains on every sentence of the harmless messages, and on the worst one of each attack.
func (g *Guard) round(samples []sample) *linear.Model {
	var rows [][]linear.Cell
	var labels []int32
	for _, s := range samples {
		worst := -1
		most := math.Inf(-1)
		for i, traits := range s.sentences {
			row, _ := g.space.Vector(traits, nil)
			if !s.attack {
				rows, labels = append(rows, row), append(labels, label(false))
				continue
			}
			if v := g.score(g.sentence, row); v > most {
				most, worst = v, i
			}
		}
		if s.attack {
			row, _ := g.space.Vector(s.sentences[worst], nil)
			rows, labels = append(rows, row), append(labels, label(true))
		}
	}
	return train(rows, labels, g.space)
}

func (g *Guard) score(machine *linear.Model, row []linear.Cell) float64 {
	var into [1]float32
	return float64(machine.Scores(row, into[:])[0])
}

// rate scores a sample as Check does.
func (g *Guard) rate(s *sample) float64 {
	most := math.Inf(-1)
	for _, traits := range s.sentences {
		row, _ := g.space.Vector(traits, nil)
		most = max(most, g.score(g.sentence, row))
	}
	row, _ := g.space.Vector(s.whole, nil)
	return mixed(g.score(g.whole, row), most)
}

// rated is a sample that the machine has not seen, with its score.
type rated struct {
	score  float64
	attack bool
}

// choose finds the threshold by the first given samples.
func choose(samples []sample, given int) float64 {
	var all []rated
	for fold := range folds {
		var seen, unseen []sample
		for i, s := range samples {
			if i < given && i%folds == fold {
				unseen = append(unseen, s)
			} else {
				seen = append(seen, s)
			}
		}
		g := learn(seen)
		for i := range unseen {
			all = append(all, rated{g.rate(&unseen[i]), unseen[i].attack})
		}
	}
	slices.SortStableFunc(all, func(a, b rated) int { return cmp.Compare(b.score, a.score) })
	return lowest(all)
}

// lowest gives the lowest threshold that has the wanted precision. The shares of attacks and of harmless messages
// found are compared, not their numbers, so that it does not matter how many there are of each.
func lowest(all []rated) float64 {
	attacks := 0
	for _, r := range all {
		if r.attack {
			attacks++
		}
	}
	threshold := all[0].score
	right := 0
	for i, r := range all {
		if r.attack {
			right++
		}
		hit := float64(right) / float64(max(attacks, 1))
		miss := float64(i+1-right) / float64(max(len(all)-attacks, 1))
		if i+1 < len(all) && hit >= precision*(hit+miss) {
			threshold = (r.score + all[i+1].score) / 2
		}
	}
	return threshold
}
