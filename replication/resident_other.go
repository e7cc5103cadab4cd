//go:build !linux

package replication

import bolt "go.etcd.io/bbolt"

// fileResident is not known here: the kernel decides alone how much of the state file stays in memory.
func fileResident() int64 { return 0 }

func forgetMapped(*bolt.Tx) {}
