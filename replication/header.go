package replication

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/wire"
)

// headerToWire gives what the state file stores of a session: where its events are, and what none of them holds.
func headerToWire(s *session.State, p *places) (*wire.SessionHeader, error) {
	if len(p.turns) != len(s.Turns) {
		return nil, fmt.Errorf("session %s keeps %d turns, of %d the place is known", s.ID, len(s.Turns), len(p.turns))
	}
	w := &wire.SessionHeader{
		Subject: string(s.Subject), Assistant: s.Assistant, Home: string(s.Home), Epoch: uint64(s.Epoch), Seq: uint64(s.Seq), Count: s.Count,
		Phase: uint32(s.Phase), LastMs: int64(s.Last), Archived: s.Archived,
		OpenedMs: p.openedMs, LatestMs: p.latestMs, Memory: p.memory, Turns: make([]*wire.TurnHeader, len(s.Turns)), Recent: encodeEvents(p.recent),
	}
	turns := make([]wire.TurnHeader, len(s.Turns)) // all in one piece
	for i := range s.Turns {
		w.Turns[i] = &turns[i]
		w.Turns[i].Accepted, w.Turns[i].Done = p.turns[i].accepted, p.turns[i].done
		w.Turns[i].Rest = restOf(s.Turns[i], p.turns[i])
	}
	if len(apart(s.Marks)) > 0 {
		w.MarksApart = uint32(len(s.Marks))
		return w, nil
	}
	for _, m := range s.Marks {
		w.Marks = append(w.Marks, markToWire(m))
	}
	return w, nil
}

// restOf gives what the turn's events do not tell, nil when they tell all.
func restOf(t *session.Turn, at turnAt) *wire.StoredTurn {
	if t.Status == session.Completed && t.Attempt == 1 && len(t.Continuations) == 0 {
		return nil // it went straight from the one event to the other
	}
	rest := turnToWire(t)
	rest.Client, rest.Counter, rest.Text, rest.AtMs = "", 0, "", 0
	if at.done != 0 {
		rest.Reply, rest.Source, rest.DoneAtMs = "", "", 0
	}
	return rest
}

// readHeader reads the header of a session, nil when there is none or the session is gone.
func readHeader(tx *bolt.Tx, id skein.SessionID) (*wire.SessionHeader, error) {
	return headerAt(tx, sessionsBucket, id)
}

func headerAt(tx *bolt.Tx, bucket []byte, id skein.SessionID) (*wire.SessionHeader, error) {
	key := []byte(id)
	v := tx.Bucket(bucket).Get(key)
	if v == nil {
		return nil, nil
	}
	content, err := unseal(key, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", bucket, err)
	}
	w := &wire.SessionHeader{}
	if err := w.UnmarshalVT(content); err != nil {
		return nil, fmt.Errorf("%w: session %s: %w", errCorrupt, id, err)
	}
	return w, nil
}

// readState reads a session, nil when there is none: its header, and from its events what the header does not hold.
func readState(tx *bolt.Tx, id skein.SessionID) (*session.State, error) {
	w, err := readHeader(tx, id)
	if err == nil && w == nil {
		w, err = readGone(tx, id)
	}
	if err != nil || w == nil {
		return nil, err
	}
	s, err := hydrate(tx, id, w)
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	return s, nil
}

func hydrate(tx *bolt.Tx, id skein.SessionID, w *wire.SessionHeader) (*session.State, error) {
	s := &session.State{
		ID: id, Subject: skein.Subject(w.Subject), Assistant: w.Assistant, Home: skein.Region(w.Home),
		Epoch: skein.Epoch(w.Epoch), Seq: skein.Seq(w.Seq), Count: w.Count,
		Phase: session.Phase(w.Phase), Last: session.Calendar(w.LastMs), Archived: w.Archived,
	}
	for _, h := range w.Turns {
		t, done, err := hydrateTurn(tx, h)
		if err != nil {
			return nil, err
		}
		s.Turns = append(s.Turns, t)
		if h.GetDone() == w.Memory {
			s.Memory = done.Memory
		}
	}
	if w.Memory != 0 && s.Memory == nil { // of a turn that is no longer kept, or there is none
		ev, err := readEvent(tx, w.Memory)
		if err != nil {
			return nil, err
		}
		s.Memory = ev.Memory
	}
	if w.MarksApart > 0 {
		marks, err := readApart(tx, id, w.MarksApart)
		s.Marks = marks
		return s, err
	}
	for _, m := range w.Marks {
		s.Marks = append(s.Marks, markFromWire(m))
	}
	return s, nil
}

// hydrateTurn reads the events of a kept turn. done is the one that completed it, empty when none has.
func hydrateTurn(tx *bolt.Tx, h *wire.TurnHeader) (t *session.Turn, done session.Event, err error) {
	accepted, err := readEvent(tx, h.GetAccepted())
	if err != nil {
		return t, done, err
	}
	events := []session.Event{accepted}
	if h.GetDone() != 0 {
		if done, err = readEvent(tx, h.GetDone()); err != nil {
			return t, done, err
		}
		events = append(events, done)
	}
	kept := session.Replay(nil, events).Turns
	if len(kept) != 1 {
		return t, done, fmt.Errorf("%w: the event at position %d accepts no turn", errCorrupt, h.GetAccepted())
	}
	if t = kept[0]; h.GetRest() == nil {
		return t, done, nil
	}
	rest := turnFromWire(h.GetRest())
	rest.ID, rest.Text, rest.At = t.ID, t.Text, t.At
	if h.GetDone() != 0 {
		rest.Reply, rest.Source, rest.DoneAt = t.Reply, t.Source, t.DoneAt
	}
	return &rest, done, nil
}

// readEvent reads the event at a position that a header or a chunk names.
func readEvent(tx *bolt.Tx, position uint64) (session.Event, error) {
	content, err := readEventBytes(tx, position)
	if err != nil {
		return session.Event{}, err
	}
	ev, err := decodeEvent(content)
	if err != nil {
		return ev, fmt.Errorf("position %d: %w", position, err)
	}
	return ev, nil
}

// readEventBytes gives an encoded event, which is valid as long as tx is.
func readEventBytes(tx *bolt.Tx, position uint64) ([]byte, error) {
	key := eventKey(position)
	v := tx.Bucket(eventsBucket).Get(key)
	if v == nil {
		return nil, fmt.Errorf("%w: no event at position %d", errCorrupt, position)
	}
	content, err := unseal(key, v)
	if err != nil {
		return nil, fmt.Errorf("event at position %d: %w", position, err)
	}
	return content, nil
}
