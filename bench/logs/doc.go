// Package logs measures stores of the Raft log beside each other: the product's segments and a bbolt file under
// raft v1.8.0, and raft-wal and raft-boltdb, which need raft v1.7.3 and so run in a process of another module.
//
// It takes rounds over all of them in turn, so that they meet much the same machine, and reports medians of the
// rounds. It stores nothing beyond temporary directories.
package logs
