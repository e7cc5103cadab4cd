// Package geodns is the authoritative DNS server of the service zone. Every node runs one; each answers from its
// own view of the membership, which Update replaces as a whole.
//
// It serves, over UDP and TCP:
//
//   - the apex: A, AAAA and HTTPS (RFC 9460) of the three nodes nearest to the client, over at least two zones where
//     there are two; SOA and NS, with glue
//   - NODE.nodes.ZONE: A and AAAA of one node
//
// The client is the subnet that the resolver names (RFC 7871), otherwise the resolver itself. Answers to a subnet
// carry the exact scope, so that a resolver never hands them to a client that would have got another one.
//
// It promises that a question within the zone is never answered with SERVFAIL: while no node is well it gives the
// last set that was, with a short TTL and Extended DNS Error 3 (RFC 8914). Before the first Update it is
// silent. Whatever arrives, its memory and goroutines stay bounded: one goroutine for each packet socket, and one
// for each of a limited number of TCP connections.
//
// It does not transfer zones, sign them (DNSSEC), resolve other names or take updates. It stores nothing, and never
// logs a client's address.
package geodns
