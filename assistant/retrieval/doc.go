// Package retrieval finds the entry of a FAQ, or the passage of a document, that answers a message: BM25 over
// English stems and parts of words, Chinese characters and pairs of them.
//
// An entry has a question, stored paraphrases of it, and a body (an answer, or a passage with its title). Questions
// and bodies are fields apart with lengths and rarities of their own. The paraphrases of an entry are compared one by
// one: the nearest counts whole, each further one half of the one before it.
//
// It promises: the same entries and message give the same hits in the same order; a message of any length is read
// to its limit. It stores nothing and starts no goroutine. An [Index] is read-only and may be used by many
// goroutines.
package retrieval
