// Package logload measures one store of a Raft log: appends, a term, a reopening and truncations, every write synced by
// the store itself. It is a module without dependencies, so that stores under different versions of raft are
// measured by the same code; it stores nothing beyond the directory of its plan.
package logload
