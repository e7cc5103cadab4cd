// Package seglog is the Raft log, term and vote of one replica, in append-only files.
//
// It promises: what StoreLogs, DeleteRange of a suffix and Set have acknowledged survives a power loss; an append
// costs one sync; what was torn by a crash is cut off, and damage anywhere else is an error that wraps ErrCorrupt
// and names file and offset. The first failed write or sync ends all writing: its outcome is unknown.
//
// It does not promise that entries removed from the front stay away: files go as a whole, so that some come back
// when the log is opened again. They are old, committed entries, and raft may keep as many as it likes. It does not tell a
// damaged last append from a torn one; the caller's boot rule notices when its state is ahead of the log. It takes no
// lock against a second process: the caller has one on the directory.
//
// It stores, in a directory of its own: SEQ.seg, entries of rising index with a CRC32C each, written into space that was
// zeroed and synced before; stable, the keys of raft.StableStore in two slots of two copies each. In memory it
// keeps four bytes an entry for the files that are in use, at most maxLoaded of them.
//
// # Truncation and crashes
//
// A file's header says behind which index it goes on; entries beyond that in older files are void. So one new file,
// synced and renamed into place, cuts the end off the log at once and for good, however many files that voids; they are
// removed afterwards in any state of the disk. A log that is opened goes on in a new file for the same reason: a
// torn end stays where it is and is void. Files are removed from the oldest on, each removal synced, so that nothing
// void outlives the file that voids it.
//
// Records name the place where their append began. A bad record with a good one of a later append behind it is
// damage: that append was not begun before the bad record was synced. A bad one with nothing but its own append
// behind it was torn. What a crash of the process left in the page cache is synced before it is believed.
package seglog
