// Package failover decides what to do when a node or a zone of a region is lost. It is pure: the caller feeds
// a Machine events and the time, carries out the actions that come back, and feeds in how each ended. Electing
// a leader is Raft's business.
//
// Every node runs a machine. What concerns the node's own answers to clients (Demote, Restore, ZoneLost, ZoneBack)
// is decided everywhere; what changes a turn or the leadership (TakeTurn, HandLeadership) only where the
// last Leader event said Me. A machine that becomes leader decides anew from all that it has been fed.
//
// It promises that while it leads an attempt of a turn is given out again only after the caller has reported that
// giving it out failed; that a turn never goes to a node that is dead, suspect or of an older incarnation, nor to a draining
// one while another is well; and that every failed action is tried again, with a pause that doubles up to a bound, for
// as long as it is still called for.
//
// It does not promise that a runner which it takes for dead has stopped: the attempt's number fences it, in package
// session. The caller must report the end of every TakeTurn and HandLeadership, since only that frees it for another
// try. Events may be repeated at will and are then without effect. It stores nothing.
package failover
