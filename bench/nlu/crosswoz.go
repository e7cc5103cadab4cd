package nlu

import (
	"fmt"
	"hash/maphash"
	"runtime"

	"github.com/skein-mesh/skein/assistant/linear"
)

// crosswoz measures Chinese intents beside a plain linear model over single characters and pairs of them, trained by
// the same solver.
func (r *run) crosswoz() error {
	train, err := readTSV(r.Data, "crosswoz-zh-intents/train.tsv")
	if err != nil {
		return err
	}
	test, err := readTSV(r.Data, "crosswoz-zh-intents/test.tsv")
	if err != nil {
		return err
	}
	if r.Dev { // a tenth of train
		all := train
		train, test = nil, nil
		for i, l := range all {
			if i%10 == 0 {
				test = append(test, l)
			} else {
				train = append(train, l)
			}
		}
	}
	m, note, err := intents(train, nil)
	if err != nil {
		return err
	}
	all, each := understand(m, test)
	plain := baseline(train, test)
	const name = "CrossWOZ zh"
	r.add(name, "intents", plain, accuracy(all, 2), fmt.Sprintf("%s, %v; the floor is the line below", note, each))
	r.add(name, "characters and pairs", 0, plain, "linear, TF-IDF, same solver")
	return nil
}

// baseline gives the accuracy of the plain model.
func baseline(train, test []labelled) float64 {
	seed := maphash.MakeSeed()
	traits := func(s string) []linear.Trait {
		seen := map[string]bool{}
		var out []linear.Trait
		prev := ""
		for _, c := range s {
			for _, unit := range []string{string(c), prev + string(c)} {
				if !seen[unit] {
					seen[unit] = true
					out = append(out, linear.Trait{Hash: maphash.String(seed, unit), Weight: 1})
				}
			}
			prev = string(c)
		}
		return out
	}
	index := map[string]int32{}
	var messages [][]linear.Trait
	var labels []int32
	for _, l := range train {
		if _, ok := index[l.label]; !ok {
			index[l.label] = int32(len(index))
		}
		messages, labels = append(messages, traits(l.text)), append(labels, index[l.label])
	}
	space := linear.NewSpace(messages, 1)
	rows := make([][]linear.Cell, len(messages))
	for i, m := range messages {
		rows[i], _ = space.Vector(m, nil)
	}
	machine := linear.Train(rows, labels, space.Columns(), len(index), linear.Settings{Epochs: 30, Workers: runtime.GOMAXPROCS(0)})
	scores := make([]float32, len(index))
	right := 0
	for _, l := range test {
		x, _ := space.Vector(traits(l.text), nil)
		best := int32(0)
		for i, s := range machine.Scores(x, scores) {
			if s > scores[best] {
				best = int32(i)
			}
		}
		if k, ok := index[l.label]; ok && k == best {
			right++
		}
	}
	return float64(right) / float64(max(len(test), 1))
}
