// Package gateway is where clients come in: the native session protocol over QUIC (wire/client.proto, ALPN
// skein/1), the same sessions over HTTP/3, HTTP/2 and HTTP/1.1 (docs/openapi.yaml) and over WebSocket.
//
// It promises that nobody gets past it without a token that verifies for the subject of the session, that a
// client which goes away ends only its own following, never the turn, that a turn of a foreign session runs
// in its home region or not at all, and that no peer makes it keep more than its limits say: bytes of a
// frame, pending turns, streams, connections. An error of one stream stays in that stream.
//
// It does not decide what a turn means, who runs it or when it is committed: that is behind Sessions. It
// sends no text of its own. It offers no health endpoint: operators come in elsewhere.
//
// It stores nothing. What it remembers (rates of subjects, who is connected) ends with the process.
package gateway
