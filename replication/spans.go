package replication

import (
	"math/bits"

	"github.com/skein-mesh/skein"
)

// A subject's sessions are indexed by the class of their span, the time between their opening and their latest event, and within a
// class by when they were opened. A query between two times has to look, in each class, only at the sessions that were opened
// no longer before the first time than a span of that class can be: what was over before, and what began later, is never
// met, however many sessions a subject has. A session changes its class when its span doubles, so a turn rarely costs
// a write.
const (
	firstSpan   = 1000 // milliseconds of the spans of class 0, at most; each next class has twice as many
	spanClasses = 30   // the last one has the longer ones too: 17 years
	goneClass   = 255  // of the sessions of which only the location is left
)

// spanClass gives the class of a session; clocks that differ can make its latest event earlier than its opening.
func spanClass(openedMs, latestMs int64) byte {
	if latestMs <= openedMs {
		return 0
	}
	return byte(min(bits.Len64(uint64(latestMs-openedMs-1)/firstSpan), spanClasses-1))
}

// spanOf gives the longest span of a class, in milliseconds.
func spanOf(class byte) int64 { return firstSpan << class }

// writeSpan puts a session where it belongs in the index of its subject.
func (w *writer) writeSpan(id skein.SessionID, subject skein.Subject, p *places) error {
	class := spanClass(p.openedMs, p.latestMs)
	if p.listed && class == p.class {
		return nil
	}
	b := w.tx.Bucket(subjectsBucket)
	if p.listed {
		if err := b.Delete(subjectKey(subject, p.class, p.openedMs, id)); err != nil {
			return err
		}
	}
	p.listed, p.class = true, class
	return b.Put(subjectKey(subject, class, p.openedMs, id), []byte{})
}
