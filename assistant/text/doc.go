// Package text reads a message as the understanding sees it: normalised, folded, in tokens that know where in
// the original they stand.
//
// It promises: the same message gives the same tokens on every node; every byte of the normalised text maps to
// bytes of the original, so that what is found can be shown and masked where it was written; no message, however
// long or broken, panics or costs more than its limit.
//
// The rules, in their order: what is not UTF-8 is dropped; control characters and those of the categories Cf
// (zero-width, direction marks, soft hyphens), Co and Cs, variation selectors and fillers that show nothing are
// dropped; the rest is brought to NFKC (Unicode Standard Annex 15), so wide Latin letters, ligatures and circled
// digits become plain ones; curly quotes and long dashes become plain; runs of white space become one space, none
// at the ends; what is left is cut at the limit of runes. Folding is the simple lower case.
//
// English words are split at what is neither letter nor digit, Chinese characters stand alone: no segmenter, no
// word list.
package text
