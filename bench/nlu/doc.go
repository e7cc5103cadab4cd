// Package nlu measures the understanding of an assistant on public data sets. What is learnt is learnt from their
// training splits, what is chosen is chosen on their development splits, what is reported is measured on the test
// splits.
package nlu
