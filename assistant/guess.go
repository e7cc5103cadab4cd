package assistant

import (
	"runtime"

	understanding "github.com/skein-mesh/skein/assistant/intent"
	words "github.com/skein-mesh/skein/assistant/text"
)

// guess is what a message most likely wants. Confidence and margin (over the next intent) are 0 to 1, and small for a
// message that wants nothing of what the definition knows.
type guess struct {
	intent     string
	confidence float64
	margin     float64
	outside    float64 // how likely it wants nothing of that
	exact      bool
}

// Thresholds of a guess.
const (
	sureOutside    = 0.5
	sureConfidence = 0.30
	sureMargin     = 0.05
	// interruptConfidence is what it takes to leave a question that the message does not answer.
	interruptConfidence = 0.42
	// switchConfidence is what it takes to leave a question that the message also answers.
	switchConfidence = 0.75
)

func (g guess) sure() bool {
	return g.outside < sureOutside && g.confidence >= sureConfidence && g.margin >= sureMargin
}

// classify tells the intent of a message.
func (a *Assistant) classify(ts []words.Token) guess {
	g := a.intents.Understand(ts)
	inside := 1 - g.Outside
	return guess{intent: g.Class, confidence: g.Confidence * inside, margin: g.Margin * inside, outside: g.Outside, exact: g.Exact}
}

// learn trains on all examples and the questions of the FAQ, each entry a class of its own. A definition is too small
// for training to fail: its limits are below those of a model.
func (def *definition) learn() (*understanding.Model, error) {
	set := understanding.Set{Workers: runtime.GOMAXPROCS(0)}
	add := func(class string, sentences []string) {
		for _, s := range sentences {
			if ts := def.masked(s); len(ts) > 0 {
				set.Examples = append(set.Examples, understanding.Example{Class: len(set.Classes), Tokens: ts})
			}
		}
		set.Classes = append(set.Classes, class)
	}
	for _, in := range def.intents {
		switch {
		case in.builtin && (in.name == "affirm" || in.name == "deny" || in.name == "cancel"):
			// Read from their phrases: as a class they would draw every sentence with a no.
		case in.name == outOfScope:
			for _, s := range in.examples {
				set.Outside = append(set.Outside, def.masked(s))
			}
		default:
			add(in.name, in.examples)
		}
	}
	for _, f := range def.faq {
		add(faqClass+f.id, f.questions)
	}
	return understanding.Train(set)
}
