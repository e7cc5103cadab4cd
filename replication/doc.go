// Package replication keeps the sessions of a region on several nodes.
//
// A Group is one Raft group (hashicorp/raft) over a stream layer that it is given. It promises: what Propose
// has acknowledged is synced on a majority of the group's voters; every replica that stands at the same index
// holds the same sessions (Hash shows it); a command whose outcome is unknown is proposed again, and
// session.Apply drops the repeat. Voters are spread over zones, and a leader replaces a dead one when that is safe.
//
// It does not promise that a read on a follower is the newest state: Read takes the sequence number that the
// caller has seen. It does not survive the loss of a majority. A first voter whose disk was wiped rejoins, see DESIGN.md.
//
// It stores, under Config.Dir: log, a directory with the Raft log, term and vote (package seglog); state.db, sessions,
// their events and the applied index, written behind an overlay in memory; snapshots, notes of
// where state.db stood, and copies of it with a checksum while one travels. Who leads, who is a member, and what an assistant says are decided elsewhere.
//
// DESIGN.md explains the order of writes and the known faults of the library that this package works around.
package replication
