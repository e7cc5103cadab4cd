// Package store measures how fast replicated stores take small records: a group of Skein, an etcd cluster and a
// NATS JetStream stream, three replicas each, all in this process, one after the other.
//
// It promises: every replica has files of its own and syncs them as that system does when it is told to lose
// nothing; a client writes its next record when the last one is acknowledged; every latency of the measured time
// is kept, so that percentiles are exact; the records are counted at the end, and a run in which one is missing,
// or in which a write fails, is an error and no figure.
//
// It does not promise figures that hold on another machine, nor at another time on this one: quote ratios.
//
// It stores everything in a new directory under os.TempDir for each figure and removes it afterwards.
package store
