// Package inference asks a model for text: Load, Generate as a stream of pieces, cancel, token counts.
//
// It promises that an engine goes on behind text that exists already (Request.Committed) and never repeats
// it, and that the first piece says truthfully how it did so. It does not promise that a model goes on with the
// same words; only an engine that says ModePrefill kept its own sentence. It stores nothing and retries nothing:
// whoever asks owns the retry.
//
// Fake is an engine for tests. Real ones live in packages of their own below this one.
package inference
