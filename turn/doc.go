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
// The room stores nothing: what must survive is in the Store.
package turn
