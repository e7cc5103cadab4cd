// Package turn brings one turn from accepted to completed, exactly once, whoever dies.
//
// The node that a client talks to runs its turn. A quick answer is committed with the acceptance in one
// command; a long one is accepted first, then its text is committed piece by piece, and only committed
// text is told to anybody. A run belongs to the node, not to the client: it ends by itself when the client
// has gone, and a client that comes back, here or elsewhere, follows the same turn from the log.
//
// A run that the log has fenced (the group's leader started a newer attempt elsewhere) stops silently. An
// outside effect is committed as an intent before it happens; an intent that has no outcome is handed to the
// answerer, which decides, and is never repeated here.
//
// A new turn is refused while more of them queue up than reach the log in a fifth of a second, at the rate that is
// measured while they do. The error says when there will be room, to each of those that are refused another time.
//
// The room stores nothing: what must survive is in the Store.
package turn
