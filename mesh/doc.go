// Package mesh knows who is out there and carries bytes between nodes.
//
// It promises: a node whose process ends is Dead in every region within moments, because the kernel resets the
// idle TCP connections (tethers) that its neighbours hold; a host that falls silent is Dead in its region in
// about 1.5 seconds, by gossip; a node that leaves in order is Left and never Dead; a restarted node comes back
// Alive at once under its higher incarnation. Every connection between nodes is mutually authenticated by
// certificates of the mesh CA, and no certificate for clients passes as a node's.
//
// It does not promise that two nodes see the same membership at the same time, nor that a node called Dead has
// stopped: what needs that asks the region's group. RTT is an estimate.
//
// It stores nothing. Identity, secret, incarnation and the stateless reset key come from the caller.
//
// The heart is view.go: a pure merge of evidence (gossip, tethers, notices, digests), without goroutine, socket
// or clock. DESIGN.md has the failure argument.
package mesh
