// Package skein is the vocabulary of the mesh: names, identifiers and numbered errors, and this tour of the house.
//
// Skein keeps conversations alive at the edge. One binary runs on every host. The hosts find each other by
// gossip, keep every session of a region in one of its Raft groups, answer turns where the client came in, and steer
// clients over DNS and QUIC to the nearest node that can serve them. Kill any process or zone: the conversation goes on,
// and nothing that was acknowledged is lost.
//
// # The house, bottom up
//
// The pure rooms decide and never act; they have no goroutine, socket, clock or logger.
//
//   - [github.com/skein-mesh/skein/session]: what a session is. Commands are decided into events, events make the
//     state; every replica that applies the same commands holds the same state.
//   - [github.com/skein-mesh/skein/geo]: where a client is, and which nodes are near.
//   - [github.com/skein-mesh/skein/failover]: what to do when a node or a zone is lost.
//
// The next rooms act.
//
//   - [github.com/skein-mesh/skein/wire]: the frames between clients and nodes, and what is stored.
//   - [github.com/skein-mesh/skein/mesh]: who is out there: gossip, identity, the tether that notices a killed
//     process at once, and streams between nodes on the same UDP socket that clients use.
//   - [github.com/skein-mesh/skein/replication]: the region's Raft groups, one to eight, and their state in bbolt.
//     A commit is synced on a majority.
//   - [github.com/skein-mesh/skein/inference]: engines that write text, as a stream.
//   - [github.com/skein-mesh/skein/assistant]: how a turn is answered: intents, entities, slots, flows, knowledge, tools.
//   - [github.com/skein-mesh/skein/turn]: one turn from accepted to completed, exactly once, whoever dies.
//   - [github.com/skein-mesh/skein/gateway]: clients come in, over the native protocol, HTTP/3, HTTP/2 and WebSocket.
//   - [github.com/skein-mesh/skein/admin]: operators come in.
//   - [github.com/skein-mesh/skein/geo/geodns]: the authoritative DNS server over geo.
//   - [github.com/skein-mesh/skein/client]: the Go SDK, which moves to another node when one dies.
//   - [github.com/skein-mesh/skein/telemetry]: counters and histograms that every acting room may use.
//
// [github.com/skein-mesh/skein/node] builds one node of all of these: siblings never import each other, they meet
// through small interfaces that the consumer declares and node connects.
// [github.com/skein-mesh/skein/node/nodetest] runs many nodes in one process, on a simulated network, in
// virtual time. [github.com/skein-mesh/skein/config] maps file, environment and flags onto node.Config, and cmd/skein
// is the command. imports_test.go enforces the arrows.
//
// # A turn, start to end
//
// A client holds one QUIC connection to a near node and one stream a session. It sends a turn with an id of its own
// choice. The gateway authenticates and hands it to turn, on the same node. A quick answer is committed with its
// acceptance in one command; a long one is accepted first, and its text is committed piece by piece: the client only
// ever sees committed text. When the runner dies, the leader of the session's group starts a new attempt elsewhere, which goes on behind
// the committed text; the number of the attempt fences the one before it. The client notices silence, dials the next node,
// and follows the same turn from the byte that it has.
package skein
