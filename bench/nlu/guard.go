package nlu

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein/assistant/guard"
)

func (r *run) guard() error {
	train, err := readCSV(r.Data, "prompt-injections/train.csv")
	if err != nil {
		return err
	}
	test, err := readCSV(r.Data, "prompt-injections/test.csv")
	if err != nil {
		return err
	}
	if r.Dev { // a fifth of train
		all := train
		train, test = nil, nil
		for i, l := range all {
			if i%5 == 0 {
				test = append(test, l)
			} else {
				train = append(train, l)
			}
		}
	}
	var examples []guard.Example
	for _, l := range train {
		examples = append(examples, guard.Example{Text: l.text, Attack: l.label == "1"})
	}
	start := time.Now()
	g, err := guard.Train(examples)
	if err != nil {
		return err
	}
	took := time.Since(start)
	const name = "prompt injection"
	precision, recall, each := judge(g, test)
	r.add(name, "precision", 0.97, precision, fmt.Sprintf("trained in %v, %v", took.Round(time.Millisecond), each))
	r.add(name, "recall", 0.80, recall, fmt.Sprintf("%d messages", len(test)))
	return nil
}

// judge checks every message.
func judge(g *guard.Guard, messages []labelled) (precision, recall float64, each timings) {
	var found, right, all float64
	for _, l := range messages {
		start := time.Now()
		v := g.Check(l.text)
		each = append(each, time.Since(start))
		if l.label == "1" {
			all++
		}
		if v.Attack {
			found++
			if l.label == "1" {
				right++
			}
		}
	}
	return right / max(found, 1), right / max(all, 1), each
}
