package openai

// verdict is how a server went on behind committed text.
type verdict uint8

const (
	undecided verdict = iota // everything so far repeats the beginning of the committed text
	goesOn                   // the stream is what follows
	repeated                 // the server started over with the same words; they are skipped
	diverged                 // the server started over with other words
)

// longRun is how many bytes of the committed text a stream must repeat before we hold it for a start from the
// beginning rather than a reply in which a phrase returns.
const longRun = 24

// joiner decides which bytes of a stream are new behind committed text. It holds back what might be a repeat,
// so never more than the committed text and one piece.
type joiner struct {
	committed string
	least     int // a stream that repeats all of a committed text at least this long started over
	held      string
	verdict   verdict
}

func newJoiner(committed string, prefills bool) joiner {
	if committed == "" {
		return joiner{verdict: goesOn}
	}
	if prefills {
		return joiner{committed: committed, least: 2 * longRun}
	}
	return joiner{committed: committed, least: 4}
}

// feed takes the next text of the stream and gives what of it is behind the committed text. After diverged the
// held text is in j.held.
func (j *joiner) feed(text string) string {
	if j.verdict != undecided {
		return text
	}
	j.held += text
	n := samePrefix(j.held, j.committed)
	switch {
	case n == len(j.committed) && n >= j.least:
		j.verdict = repeated
		return j.held[n:]
	case n == len(j.held) && n < len(j.committed):
		return ""
	case n < len(j.committed) && n >= longRun:
		j.verdict = diverged
		return ""
	}
	j.verdict = goesOn
	return j.held
}

// end gives what was held back when the stream ended before a verdict. A stream that ends in the middle of a long
// repeat started over and has nothing behind the committed text.
func (j *joiner) end() string {
	if j.verdict != undecided {
		return ""
	}
	if len(j.held) >= longRun {
		j.verdict = diverged
		return ""
	}
	j.verdict = goesOn
	return j.held
}

func samePrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
