package intent

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Folds of the calibration: in each, a part of the classes is hidden, whose messages are then outside, and a part of
// the other messages is held out, whose confidence is compared with the truth.
const (
	folds       = 3
	heldOut     = 5       // one message of so many is held out
	foldEpochs  = 8       // passes; a machine that only calibrates need not be exact
	foldMost    = 6000    // examples of a fold's machine
	defaultHeat = 4       // when there is nothing to calibrate with
	fewest      = 20      // examples below which nothing is calibrated
	shareKnown  = 2.0 / 3 // weight of given messages outside, of all outside
	manyOutside = 30      // given messages outside from which they have that weight
	mostLost    = 0.02    // share of many held-out messages inside that may look outside
	lostByFew   = 0.8     // what n of them add to it, over the root of n
	doubtful    = 20      // messages inside, and outside, of which half is believed
	heatHold    = 4       // how much the default heat is held to, beside the surprise of all messages
)

// verdict is how the machine of a fold scored a held-out message.
type verdict struct {
	scores []float32
	class  int32 // in the fold's own numbering
}

// calibrate finds the heat and the scope of a model with machines that have not seen some of the messages.
func (c *corpus) calibrate(m *Model, workers int) {
	m.heat = defaultHeat
	m.scope = defaultScope()
	if len(c.labels) < fewest || c.classes < folds {
		return
	}
	var seen []verdict
	var all []observation
	order := rand.New(rand.NewPCG(4, 4)).Perm(len(c.labels))
	hide := rand.New(rand.NewPCG(2, 8)).Perm(c.classes)
	for fold := range folds {
		v, o := c.fold(fold, order, hide, workers)
		seen, all = append(seen, v...), append(all, o...)
	}
	m.heat = heat(seen)
	balance(all)
	var found scope
	found.fit(all)
	m.scope.trust(&found, all)
}

// trust moves the scope to one that was found from observations, the further the more of them there are: few may be
// told apart by signs that mean the opposite of what they mean in general.
func (s *scope) trust(found *scope, all []observation) {
	inside := 0
	for _, o := range all {
		if !o.outside {
			inside++
		}
	}
	n := float64(min(inside, len(all)-inside))
	share := n / (n + doubtful)
	rest := *s
	*s = *found
	s.bias *= share
	for i := range s.weights {
		scale := (1 - share) * rest.weights[i] / rest.deviation[i]
		s.weights[i] = share*s.weights[i] + scale*s.deviation[i]
		s.bias += scale * (s.mean[i] - rest.mean[i])
	}
	s.settle(all, share)
}

// settle moves the scope so that few of the messages that are inside, and were understood, look outside. Without it,
// messages inside and outside would be taken to be equally many, which no assistant's are. Where examples are few, more
// may look so: the machine that had not seen them knew much less than the one that will answer. share is how far it
// moves, 0 to 1.
func (s *scope) settle(all []observation, share float64) {
	var inside []float64
	for _, o := range all {
		if !o.outside {
			inside = append(inside, s.outside(&o.signs))
		}
	}
	if len(inside) == 0 {
		return
	}
	slices.Sort(inside)
	n := float64(len(inside))
	at := inside[len(inside)-1-int(n*min(0.5, mostLost+lostByFew/math.Sqrt(n)))]
	at = min(max(at, 1e-6), 1-1e-6)
	s.bias -= share * math.Log(at/(1-at))
}

// fold trains one machine and looks at what was kept from it.
func (c *corpus) fold(fold int, order, hide []int, workers int) (seen []verdict, all []observation) {
	number := make([]int32, c.classes+1) // of classes in the fold; -1: hidden
	part := &corpus{messages: c.messages, labels: make([]int32, len(c.labels)), weak: c.weak}
	for class := range c.classes {
		number[class] = -1
		if hide[class]%folds != fold {
			number[class] = int32(part.classes)
			part.classes++
		}
	}
	number[c.classes] = int32(part.classes)
	var train, test []int
	for k, i := range order {
		part.labels[i] = number[c.labels[i]]
		switch held := k%heldOut == fold; {
		case part.labels[i] < 0:
			if len(test) < foldMost {
				test = append(test, i)
			}
		case held:
			test = append(test, i)
		case len(train) < foldMost:
			train = append(train, i)
		}
	}
	if len(train) == 0 || part.classes == 0 {
		return nil, nil
	}
	slices.Sort(train)
	set := settings(workers)
	set.Epochs = foldEpochs
	m := part.learn(train, set)
	r := &reader{}
	for _, i := range test {
		s := m.read(r, c.messages[i])
		label := part.labels[i]
		if label >= 0 && int(label) < part.classes {
			seen = append(seen, verdict{slices.Clone(r.scores[:part.classes]), label})
			if int(label) != s.best[0] {
				continue // taken for another class: to turn it away would be no loss
			}
		}
		all = append(all, observation{signs: s.signs, outside: label < 0 || int(label) == part.classes, weight: weightOf(label)})
	}
	return seen, all
}

// weightOf marks given messages outside until balance weighs all.
func weightOf(label int32) float64 {
	if label >= 0 {
		return 2
	}
	return 1
}

// balance gives the messages inside and outside the same weight in all, and given ones outside most of theirs.
func balance(all []observation) {
	var in, hidden, given float64
	for _, o := range all {
		switch {
		case !o.outside:
			in++
		case o.weight == 1:
			hidden++
		default:
			given++
		}
	}
	share := shareKnown * min(1, given/manyOutside)
	if hidden == 0 {
		share = 1
	}
	for i := range all {
		o := &all[i]
		switch {
		case !o.outside:
			o.weight = 1 / max(in, 1)
		case o.weight == 1:
			o.weight = (1 - share) / hidden
		default:
			o.weight = share / given
		}
	}
}

// defaultScope is that of a model with too few examples to find one. It looks only at what the examples of the best
// class have of the message: with few classes, scores say more about which class has the most examples, and the
// entropy about how many classes there are.
func defaultScope() scope {
	s := scope{weights: signals{signCover: -1.5, signWords: -0.5}}
	s.mean = signals{signCover: 0.25, signWords: 0.3}
	for i := range s.deviation {
		s.deviation[i] = 1
	}
	s.deviation[signCover], s.deviation[signWords] = 0.15, 0.25
	return s
}

// heat gives the factor under which the truth of the held-out messages is likeliest, by golden-section search
// (Kiefer, "Sequential minimax search for a maximum", 1953): the likelihood has one maximum.
func heat(seen []verdict) float64 {
	if len(seen) == 0 {
		return defaultHeat
	}
	lo, hi := math.Log(0.5), math.Log(50)
	const golden = 0.6180339887498949
	loss := func(h float64) float64 {
		d := h - math.Log(defaultHeat)
		return surprise(seen, math.Exp(h)) + heatHold*d*d
	}
	a, b := hi-golden*(hi-lo), lo+golden*(hi-lo)
	fa, fb := loss(a), loss(b)
	for range 25 {
		if fa < fb {
			hi, b, fb = b, a, fa
			a = hi - golden*(hi-lo)
			fa = loss(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + golden*(hi-lo)
			fb = loss(b)
		}
	}
	return math.Exp((lo + hi) / 2)
}

// surprise is the negative log-likelihood of the truth.
func surprise(seen []verdict, heat float64) float64 {
	var total float64
	for _, v := range seen {
		right := v.scores[v.class]
		var sum float64
		for _, s := range v.scores {
			sum += math.Exp(min(heat*float64(s-right), 500))
		}
		total += math.Log(sum)
	}
	return total
}
