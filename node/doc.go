// Package node builds one node of all rooms and runs it: it opens the sockets, starts the rooms in order, connects
// siblings that know each other only as interfaces, carries out what the pure rooms decide, and stops in the reverse
// order.
//
// Start: sockets, mesh, groups, then what faces clients and operators. Stop: no new turns and GoAway, running turns end
// or are left to their successors, leadership is handed over, the state is flushed, and the node leaves the gossip.
//
// In Config.Dir it stores: replica/ (the groups' logs and states), owner, incarnation and reset.key. A directory belongs to one
// node; a second process on it is refused.
package node
