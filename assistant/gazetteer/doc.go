// Package gazetteer finds the words of a list in a message, also misspelt ones.
//
// The list is a trie; a message is compared from the beginning of each of its words (in Chinese: from each character)
// with all words of the list at once, by a row of the edit distance a step. Two neighbouring letters that changed
// places count as one error (the optimal string alignment distance; Damerau, "A technique for computer detection and
// correction of spelling errors", 1964).
//
// It promises: matches do not overlap, and each covers whole words; a message costs a bounded number of steps,
// whatever it holds. It stores nothing and starts no goroutine. A [Matcher] is read-only and may be used by many
// goroutines.
package gazetteer
