// Package powerfs is a file system for tests that remembers what was synced, and loses power on demand.
//
// A Disk holds files in memory, each with its content as it is read and as it is durable, and the writes between; and
// directories with names likewise. Serve mounts one through FUSE, in a process of its own: a page fault of the process under
// test would otherwise wait for a server that the same runtime has stopped. Mount starts that process, in a mount namespace
// that ends with it, and speaks to it.
//
// When the power fails at a chosen step, every file is left with what its last completed sync covered and some of the
// later writes, dropped, torn at 512 bytes or in any order; and every directory with its names as of its last
// sync and some of the later changes. A sync of a file makes its content durable, never its name; a rename within one
// directory is atomic; one between two directories may leave both names, and loses the file only if the removal was
// synced and the addition was not. Real file systems promise more in places.
//
// Syncs have kinds, such as "state.db: pages" or "log: a new name". A kind can be switched off, to show that it is needed.
//
// It promises no speed and stores nothing.
package powerfs
