package replication

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// Of so many sessions a flush remembers where their events are; of the others it reads it.
const (
	knownPlaces = 4096
	knownBytes  = 8 << 20
)

// sizeOfPlaces gives about how many bytes of memory they need.
func sizeOfPlaces(p *places) int { return 1500 + sizeOfMarks(p.apart) }

// writer puts changes into a transaction.
type writer struct {
	tx     *bolt.Tx
	events []*storedEvent // of all sessions
	known  *cache[*places]
}

// writeChanges writes what has changed, in the order of the keys, where neighbours share pages. After an error known does not fit the
// file any more, and nothing may be written.
func writeChanges(tx *bolt.Tx, known *cache[*places], changes map[skein.SessionID]*change, at mark) error {
	w := writer{tx: tx, known: known}
	for _, id := range slices.Sorted(maps.Keys(changes)) {
		if err := w.session(id, changes[id]); err != nil {
			return err
		}
	}
	slices.SortFunc(w.events, func(a, b *storedEvent) int { return cmp.Compare(a.position, b.position) })
	b := tx.Bucket(eventsBucket)
	b.FillPercent = 1 // nothing is ever put between two events
	for _, e := range w.events {
		if err := b.Put(eventKey(e.position), e.value); err != nil {
			return err
		}
	}
	return writeMark(tx, at)
}

func (w *writer) session(id skein.SessionID, c *change) error {
	p, ok := w.known.get(id)
	if !ok {
		var err error
		if p, err = readPlaces(w.tx, id); err != nil {
			return err
		}
	}
	if c.state.Phase.Gone() {
		return w.gone(id, c, p)
	}
	marks := len(p.apart)
	for i := range c.events {
		if err := w.event(id, &c.events[i], p); err != nil {
			return err
		}
	}
	header, err := headerToWire(c.state, p)
	if err != nil {
		return err
	}
	value := make([]byte, sealSize+header.SizeVT())
	if _, err := header.MarshalToSizedBufferVT(value[sealSize:]); err != nil {
		return fmt.Errorf("encode session %s: %w", id, err)
	}
	key := []byte(id)
	sealInPlace(key, value)
	if err := w.tx.Bucket(sessionsBucket).Put(key, value); err != nil {
		return err
	}
	if err := w.indexes(id, c, p); err != nil {
		return err
	}
	if !ok || len(p.apart) != marks {
		w.known.put(id, p)
	}
	return nil
}

// event notes where an event is. It is written with those of the other sessions.
func (w *writer) event(id skein.SessionID, e *storedEvent, p *places) error {
	w.events = append(w.events, e)
	chunk := p.add(e)
	if chunk == nil {
		return nil
	}
	key := indexKey(id, chunk[0].seq)
	return w.tx.Bucket(indexBucket).Put(key, seal(key, encodeEvents(chunk)))
}

// indexes brings the buckets that tell something of a session up to date, where that has changed.
func (w *writer) indexes(id skein.SessionID, c *change, p *places) error {
	is := apart(c.state.Marks)
	if err := writeApart(w.tx.Bucket(marksBucket), id, p.apart, is); err != nil {
		return err
	}
	p.apart = is
	age := ageOfState(c.state.Phase, c.state.Archived, c.state.Last)
	if err := writeAge(w.tx, id, p.age, age); err != nil {
		return err
	}
	p.age = age
	if err := w.writeSpan(id, c.state.Subject, p); err != nil {
		return err
	}
	if n := letters(c.state); n != p.letters {
		if err := writeLetters(w.tx, []byte(id), n); err != nil {
			return err
		}
		p.letters = n
	}
	_, open := c.state.OpenTurn()
	if open == p.open {
		return nil
	}
	p.open = open
	if open {
		return w.tx.Bucket(openBucket).Put([]byte(id), []byte{})
	}
	return w.tx.Bucket(openBucket).Delete([]byte(id))
}
