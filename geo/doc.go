// Package geo says where a client is and which nodes are near it. It is pure: no goroutine, socket, file,
// clock or logger; whoever holds the files hands over their bytes.
//
// A prefix table decides a client's region outright. Where it is silent, a MaxMind DB gives coordinates and the
// nearest region by great-circle distance follows. Every location comes with a scope: the length of the shortest
// prefix around the client in which every address has the same location, so that a resolver may keep
// the answer for exactly those (RFC 7871, section 7.2.1).
//
// Rank orders nodes: those that are well before those that are suspect, near before far, and rendezvous hashing
// among near equals, so that a client returns to the same node and a node that leaves moves only its own clients.
//
// It does not promise that a location is true, only that it is the same on every node that holds the
// same table, database and membership. Tables and databases are never changed after they are made, and may be
// used by many goroutines at once. It stores nothing.
package geo
