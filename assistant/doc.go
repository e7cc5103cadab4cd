// Package assistant is how a turn is answered: it reads a definition in YAML, understands a message, follows a
// flow across turns, calls tools, answers from a FAQ, and asks a model only when there is one and nothing else
// answers.
//
// It promises: the same definition, memory and message give the same answer on every node, so that a turn can
// be answered again after a death; a tool with a side effect is reached only behind a confirm that the user has
// passed, and always through [Host], which records it first; every fault of a definition is told with file, line
// and column; a bad message, a hostile tool or a stale memory gives an answer or an error, never a panic. Sizes,
// steps, calls and depths are limited (limits.go).
//
// It does not promise: understanding of what the definition does not know; languages other than English and
// Chinese; exactly-once calls (that is the host's work, from the intents that it holds).
//
// It stores nothing. What a session must remember is in [Answer].Memory, versioned JSON that the caller keeps.
package assistant
