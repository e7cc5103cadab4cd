package openai

import (
	"strings"
	"testing"
)

func TestJoiner(t *testing.T) {
	const long = "The parcel with your shoes left Milan"
	for _, c := range []struct {
		name, committed, stream string
		prefills                bool
		want                    string
		verdict                 verdict
	}{
		{name: "goes on", committed: long, stream: " at noon", want: " at noon", verdict: goesOn},
		{name: "a phrase returns", committed: long, stream: "The parcel is", want: "The parcel is", verdict: goesOn},
		{name: "starts over", committed: long, stream: long + " at noon", want: " at noon", verdict: repeated},
		{name: "starts over and has no more", committed: long, stream: long, want: "", verdict: repeated},
		{name: "starts over with other words", committed: long, stream: "The parcel with your shoes is lost", verdict: diverged},
		{name: "starts over and stops early", committed: long, stream: "The parcel with your shoes", verdict: diverged},
		{name: "stops on a coincidence", committed: long, stream: "The", want: "The", verdict: goesOn},
		{name: "says nothing", committed: long, stream: "", want: "", verdict: goesOn},
		{name: "laughs", committed: "Ha", stream: "Haha!", want: "Haha!", verdict: goesOn},
		{name: "a short repeat", committed: "Your order", stream: "Your order is", want: " is", verdict: repeated},
		{name: "a short repeat of a server that prefills", committed: "1111", stream: "11112", prefills: true, want: "11112", verdict: goesOn},
		{name: "characters of several bytes", committed: "那款鞋", stream: "那款鞋还有", want: "还有", verdict: repeated},
		{name: "nothing is committed", stream: "Hello", want: "Hello", verdict: goesOn},
	} {
		for size := 1; size <= len(c.stream)+1; size++ { // whatever the pieces
			j := newJoiner(c.committed, c.prefills)
			var got strings.Builder
			for rest := c.stream; rest != "" && j.verdict != diverged; {
				n := min(size, len(rest))
				got.WriteString(j.feed(rest[:n]))
				rest = rest[n:]
			}
			if j.verdict != diverged {
				got.WriteString(j.end())
			}
			if got.String() != c.want || j.verdict != c.verdict {
				t.Errorf("%s, pieces of %d: got %q, %d, want %q, %d", c.name, size, got.String(), j.verdict, c.want, c.verdict)
				break
			}
		}
	}
}
