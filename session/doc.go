// Package session is what a session is: its events, its state and the life of a turn. It is pure: no
// goroutine, socket, clock or logger. Every replica that applies the same commands at the same committed
// times holds the same state.
//
// A turn is running from the moment it is accepted. Its attempt ends with completed, with failed (then it
// waits for the next attempt, after a back-off that doubles) or with dead, when it has failed MaxFailures
// times. A dead turn is a dead letter, until an operator drops it, or retries it: it then waits as if it had never
// failed. A turn whose runner was lost is started again at the next attempt number; whatever the earlier
// attempt still proposes is refused as fenced. A turn id is a client instance and a counter that only rises, so
// one number a client is enough to know a repeat for ever.
//
// A session is closed by its client, by an operator, or when it was idle for long. A closed one takes no turns and still tells
// what was said. Its text is purged when it is old enough by the group's calendar, or erased by an operator at once;
// its location stays, so that its id is never opened again.
package session
