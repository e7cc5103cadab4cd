package session

import (
	"time"

	"github.com/skein-mesh/skein"
)

// Query asks what was said in the sessions of a subject. Sessions that are closed are included, those whose text is deleted
// are not.
type Query struct {
	Subject  skein.Subject
	From, To time.Time // of the events, by the clocks of the nodes that proposed them; To is exclusive, and also of when sessions were opened; zero: no bound
	Limit    int       // events, 1 to 500
	Bytes    int       // of their texts, about; a page has at least one event; 0: 4 MiB
	After    string    // the Next of the page before; empty: from the start
	Fresh    Freshness
}

// Said is an event of one of the subject's sessions, without what the assistant keeps and what tools were given and answered.
type Said struct {
	Opened time.Time // when its session was opened, by the clock of the node that proposed it
	Event  Event
}

// Findings is one page of what was said. It can be short, also empty, before the end: the work of a page is bounded.
type Findings struct {
	Said []Said // ordered by when the session was opened, by its id, by sequence number
	Next string // what to pass as After for the next page; empty: there is no more
}

// Freshness says how new the answer to a read has to be. The zero value asks for what a replica has that is in touch with
// its leader: behind by 64 log entries at most.
type Freshness struct {
	// Latest asks for all that was committed before the read began. A marker goes through the log, one for all reads that wait for the
	// next entry; no lease and no clock is relied on.
	Latest bool
	// MaxAge, when it is above 0, asks for all that was committed up to so long ago. A replica answers by itself while it holds
	// all that such a marker has told of within that time; otherwise the leader does, with a new marker. It is measured by the
	// asked node's monotonic clock, which stands still while a machine sleeps.
	MaxAge time.Duration
}
