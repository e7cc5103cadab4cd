// Package guard tells whether a message tries to take an assistant over: to make it forget what it was told, show
// its instructions, play another part, or say what somebody else puts into its mouth.
//
// Two things look at a message: a few rules that name the attack, and a linear machine (package linear) that learns
// from examples. The machine scores the message as a whole and each of its sentences, since an attack often follows
// harmless text: the sentence that counts is found while training, as in multiple-instance learning (Andrews,
// Tsochantaridis and Hofmann, "Support Vector Machines for Multiple-Instance Learning", NIPS 2002).
//
// It promises a verdict for any message, with the place and the reason. It does not promise to find every attack:
// what a message may do must not depend on it alone. It stores nothing and starts no goroutine. A [Guard] is
// read-only and may be used by many goroutines.
package guard
