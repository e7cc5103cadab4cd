// Package archive is how closed sessions are kept outside of the mesh once they are old: as lines of JSON in batches,
// found again by session or subject.
//
// A batch holds closed sessions of one group and one day (UTC, of their last events): an object of lines, compressed with gzip and
// sealed like a backup (package backup), and a manifest with an HMAC, which is written last. The manifest holds keyed hashes of the
// sessions' and subjects' names, by which a batch is found without a look into it and which tell nobody else who they are. A batch
// is named by a hash of its object, which is the same each time for the same events: one that is stored again, after a crash between
// the upload and the note of it in the session or by two leaders at once, replaces itself, and nothing else.
//
// It promises: Write returns once the batch is stored; Find gives each session once, as the newest batch has it; Erase leaves no
// batch with what was named, by writing the rest of each anew before the old one goes. What a crash in between leaves, an object without a
// manifest, Prune removes once it is a day old.
//
// A line is an event (see Line), those of a session one behind the other, in their order. What the assistant keeps for itself
// between turns is not in it.
package archive
