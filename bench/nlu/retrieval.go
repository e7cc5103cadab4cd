package nlu

import (
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/assistant/retrieval"
	"github.com/skein-mesh/skein/assistant/text"
)

// recall asks every question and gives the share whose document is among the first 1 and the first 5.
func recall(x *retrieval.Index, questions []asked) (one, five float64, each timings) {
	for _, q := range questions {
		start := time.Now()
		hits := x.Find(tokens(q.text), 5)
		each = append(each, time.Since(start))
		at := slices.IndexFunc(hits, func(h retrieval.Hit) bool { return h.Entry == q.doc })
		if at == 0 {
			one++
		}
		if at >= 0 {
			five++
		}
	}
	n := float64(max(len(questions), 1))
	return one / n, five / n, each
}

// half keeps every second question when measuring for development: these sets have no split of their own.
func (r *run) half(questions []asked) []asked {
	if !r.Dev {
		return questions
	}
	var out []asked
	for i := 0; i < len(questions); i += 2 {
		out = append(out, questions[i])
	}
	return out
}

// stored is how many paraphrases of each question are stored in the second measurement.
const stored = 3

func (r *run) stackFAQ() error {
	faq, err := readStackFAQ(r.Data)
	if err != nil {
		return err
	}
	var bare, rich []retrieval.Entry
	var all, rest []asked
	for i, p := range faq {
		entry := retrieval.Entry{Questions: [][]text.Token{tokens(p.Question)}}
		bare = append(bare, entry)
		for k, q := range p.Paraphrases {
			all = append(all, asked{q, i})
			if k < stored {
				entry.Questions = append(entry.Questions, tokens(q))
				continue
			}
			rest = append(rest, asked{q, i})
		}
		rich = append(rich, entry)
	}
	const name = "StackFAQ"
	all, rest = r.half(all), r.half(rest)
	one, five, each := recall(retrieval.New(bare), all)
	r.add(name, "question only, R@1", 0.74, one, fmt.Sprintf("%d questions, %v", len(all), each))
	r.add(name, "question only, R@5", 0.91, five, "")
	one, five, each = recall(retrieval.New(rich), rest)
	r.add(name, "three paraphrases, R@1", 0.89, one, fmt.Sprintf("%d questions, %v", len(rest), each))
	r.add(name, "three paraphrases, R@5", 0, five, "")
	return nil
}

func (r *run) xquad() error {
	for _, lang := range []string{"en", "zh"} {
		passages, questions, err := readXQuAD(r.Data, lang)
		if err != nil {
			return err
		}
		var entries []retrieval.Entry
		for _, p := range passages {
			entries = append(entries, retrieval.Entry{Body: tokens(p)})
		}
		questions = r.half(questions)
		start := time.Now()
		x := retrieval.New(entries)
		took := time.Since(start)
		one, five, each := recall(x, questions)
		r.add("XQuAD "+lang, "passage, R@1", 0.93, one, fmt.Sprintf("indexed in %v, %v", took.Round(time.Millisecond), each))
		r.add("XQuAD "+lang, "passage, R@5", 0, five, "")
	}
	return nil
}
