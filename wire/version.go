package wire

// Version is the native session protocol that this build speaks.
//
//	1  2026-11  first
const Version = 1

// NodeVersion is the protocol between nodes, checked in the hello of every mesh connection.
//
//	1  2026-11  first
const NodeVersion = 1

// ALPN protocol ids (RFC 7301).
const (
	ALPNClient = "skein/1"      // native sessions over QUIC
	ALPNMesh   = "skein-mesh/1" // node to node over QUIC
	ALPNTether = "skein-tether/1"
)
