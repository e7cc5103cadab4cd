// Package linear tells classes of messages apart by one linear machine a class, over hashed traits of words,
// pairs of words, parts of words, Chinese characters and pairs of them.
//
// It promises: the same examples give the same weights, however many goroutines train; a message costs its traits
// times the classes; the weights take a byte each.
//
// It stores nothing. Train waits for the goroutines that it starts. What it returns is read-only and may be used by
// many goroutines.
package linear
