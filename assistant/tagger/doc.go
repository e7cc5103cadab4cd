// Package tagger finds entities in a message by what stands around them: a linear-chain conditional random field
// (Lafferty, McCallum and Pereira, "Conditional Random Fields", ICML 2001) over the tokens of a message, trained on
// marked examples.
//
// It promises: the same examples give the same tagger on every node; a tag is a whole span, never its second half
// alone; a message of any tokens costs at most its length times the labels squared.
//
// It stores nothing and starts no goroutine. A [Tagger] is read-only and may be used by many goroutines.
package tagger
