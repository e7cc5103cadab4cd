package replication

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// storedEvent is a kept event on its way to the disk.
type storedEvent struct {
	eventAt
	kind    session.Kind
	subject skein.Subject // Opened
	value   []byte        // sealed wire.Event
}

// places is what the state file knows of a session beside its state: where its events are, and what it has in other buckets. The
// zero value is a session that the file does not have. The flush owns it.
type places struct {
	openedMs int64
	latestMs int64     // of its events, as their proposers say
	listed   bool      // the index of its subject has it, in class
	class    byte      // see spanClass
	memory   uint64    // position of the event that holds what the assistant keeps, 0: none
	turns    []turnAt  // of the kept turns, oldest first
	recent   []eventAt // of the newest events
	apart    []session.Mark
	open     bool // the session stands in the open bucket
	letters  int  // as the letters bucket has it
	age      ageOf
}

// turnAt is where the events of a kept turn are.
type turnAt struct {
	accepted uint64
	done     uint64 // 0: not completed
}

// add takes the next event in. When that makes too many it gives the oldest, for a chunk of their own.
func (p *places) add(e *storedEvent) (chunk []eventAt) {
	switch e.kind {
	case session.Opened:
		p.openedMs = max(e.at, 0)
	case session.Accepted:
		if len(p.turns) >= session.KeptTurns {
			p.turns = append(p.turns[:0], p.turns[len(p.turns)-session.KeptTurns+1:]...)
		}
		p.turns = append(p.turns, turnAt{accepted: e.position})
	case session.Done:
		p.memory = e.position
		if n := len(p.turns); n > 0 { // only the last turn may be open
			p.turns[n-1].done = e.position
		}
	case session.Purged, session.Erased:
		p.turns, p.memory = nil, 0
	}
	p.latestMs = max(p.latestMs, e.at)
	p.recent = append(p.recent, e.eventAt)
	if len(p.recent) <= recentEvents {
		return nil
	}
	chunk = append(chunk, p.recent[:chunkEvents]...)
	p.recent = append(p.recent[:0], p.recent[chunkEvents:]...)
	return chunk
}

// readPlaces gives the places of a session as the file has them.
func readPlaces(tx *bolt.Tx, id skein.SessionID) (*places, error) {
	w, err := readHeader(tx, id)
	if err != nil || w == nil {
		return &places{}, err
	}
	p := &places{openedMs: w.OpenedMs, memory: w.Memory, open: tx.Bucket(openBucket).Get([]byte(id)) != nil}
	p.latestMs, p.listed, p.class = w.LatestMs, true, spanClass(w.OpenedMs, w.LatestMs)
	p.age = ageOfState(session.Phase(w.Phase), w.Archived, session.Calendar(w.LastMs))
	for _, t := range w.Turns {
		p.turns = append(p.turns, turnAt{t.GetAccepted(), t.GetDone()})
	}
	if p.recent, err = decodeEvents(w.Recent); err != nil {
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	if v := tx.Bucket(lettersBucket).Get([]byte(id)); len(v) == 1 {
		p.letters = int(v[0])
	}
	if w.MarksApart > 0 {
		p.apart, err = readApart(tx, id, w.MarksApart)
	}
	return p, err
}

// placesOf gives where the kept events of a session with a sequence number above after are, oldest first, at most limit of them.
func placesOf(tx *bolt.Tx, id skein.SessionID, after skein.Seq, limit int) ([]eventAt, error) {
	w, err := readHeader(tx, id)
	if err != nil || w == nil {
		return nil, err
	}
	var list []eventAt
	take := func(part []eventAt) {
		for _, e := range part {
			if e.seq > after && len(list) < limit {
				list = append(list, e)
			}
		}
	}
	recent, err := decodeEvents(w.Recent)
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	if len(recent) == 0 || recent[0].seq > after+1 {
		if err := eachChunk(tx, id, after, func(chunk []byte) (bool, error) {
			part, err := decodeEvents(chunk)
			take(part)
			return len(list) < limit, err
		}); err != nil {
			return nil, err
		}
	}
	take(recent)
	return list, nil
}

// eachChunk calls f with the chunks of a session that may hold events behind after, in order, until f gives false.
func eachChunk(tx *bolt.Tx, id skein.SessionID, after skein.Seq, f func(chunk []byte) (more bool, err error)) error {
	prefix := prefixOf(id)
	c := tx.Bucket(indexBucket).Cursor()
	c.Seek(indexKey(id, after+1))
	k, v := c.Prev() // it begins at or before after, and may reach behind it
	if !hasPrefix(k, prefix) {
		k, v = c.Seek(indexKey(id, after+1))
	}
	for ; hasPrefix(k, prefix); k, v = c.Next() {
		content, err := unseal(k, v)
		if err != nil {
			return fmt.Errorf("index: %w", err)
		}
		more, err := f(content)
		if err != nil {
			return fmt.Errorf("index: record %q: %w", k, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}
