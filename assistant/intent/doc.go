// Package intent tells what a message wants: which of the classes that the examples show, how sure that is, and
// whether it is none of them.
//
// The classes are told apart by one linear machine each (package linear). Confidence is calibrated on examples that
// the machine has not seen. Whether a message is out of scope is decided from several signs together (scope.go),
// whose weights are found by hiding whole classes from the machine: a definition needs no examples of what it does
// not know, and uses them if it has any. The fewer the examples, the more it goes by what the examples of the best
// class have of the message, which needs no weights that are found.
//
// It promises: the same examples give the same answers on every node, however many goroutines train; a message
// costs no memory that lasts. It stores nothing. A [Model] is read-only and may be used by many goroutines.
package intent
