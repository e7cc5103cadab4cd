// Package client is the Go SDK of the native session protocol: it finds nodes, holds one QUIC connection to
// the best of them, and keeps conversations going when that node dies.
//
// It promises that the text of a reply is handed out exactly once, in order and without holes, however often
// the node changes under it; that a turn which was sent is never run as two turns, because its id stays the
// same at every attempt; and that Close waits for all goroutines that Dial and Open have started.
//
// While a turn runs a node gives a sign of life at least every 50 ms. Silence for longer than the stall timer,
// the greater of 150 ms and twice the smoothed round trip plus 50 ms, makes the session ask a second node, in
// another zone where one is known, without giving up the first; whoever answers first keeps the turn.
// At most two such questions are open at a time. Between turns a broken connection is reopened with jitter.
//
// It does not promise an answer: a turn ends with an error when its context ends, after Config.Patience without
// progress, or after some seconds when several nodes have said that the session's home region is out of reach. The turn may then still be completed by the mesh; the same id asks for it again (Session.SendID).
//
// It needs UDP to the nodes' QUIC port, both ways, and with DNS also to the name servers: there is no way
// over TCP. Where a network lets no UDP through, Dial ends with ErrUnreachable; the same sessions can then be used
// over HTTPS or a WebSocket on the same port (docs/openapi.yaml), without this package.
//
// It stores nothing. TLS session tickets live in memory, under the one server name that all nodes
// share, so a ticket of one node saves the round trip of the handshake at every other.
package client
