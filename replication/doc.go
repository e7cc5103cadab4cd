// Package replication keeps the sessions of a region on several nodes.
//
// A Region is a node's part in the groups of its region, one to eight, over which sessions are divided by a hash of their
// ids. A Group is one Raft group (hashicorp/raft) over a stream layer that it is given. It promises: what Propose
// has acknowledged is synced on a majority of the group's voters; every replica that stands at the same index
// holds the same sessions (Hash shows it); a command whose outcome is unknown is proposed again, and
// session.Apply drops the repeat. Voters are spread over zones, and a leader replaces a dead one when that is safe.
//
// It does not promise that a read on a follower is the newest state: Read takes the sequence number that the
// caller has seen. It does not survive the loss of a majority. A first voter whose disk was wiped rejoins, see DESIGN-disk.md.
//
// It stores, under the directory of the region, the number of its groups and for each, in a directory of its own when there
// are several: log, a directory with the Raft log, term and vote (package seglog); state.db, sessions,
// their events and the applied index, written behind an overlay in memory; snapshots, notes of
// where state.db stood, and copies of it with a checksum while one travels. Who leads, who is a member, and what an assistant says are decided elsewhere.
//
// DESIGN.md explains the way of a proposal and the known faults of the library that this package works around,
// DESIGN-disk.md the order of writes, DESIGN-membership.md who votes.
package replication
