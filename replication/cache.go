package replication

import (
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// cache keeps what was used last of some sessions, up to a number of them and about so many bytes. It is not safe for
// concurrent use.
type cache[V any] struct {
	lru   *simplelru.LRU[skein.SessionID, sized[V]]
	size  func(V) int
	bytes int
	most  int
}

type sized[V any] struct {
	value V
	bytes int
}

func newCache[V any](entries, bytes int, size func(V) int) *cache[V] {
	c := &cache[V]{size: size, most: bytes}
	c.lru, _ = simplelru.NewLRU(entries, func(_ skein.SessionID, v sized[V]) { c.bytes -= v.bytes }) // an error is a size below 1
	return c
}

func (c *cache[V]) get(id skein.SessionID) (V, bool) {
	v, ok := c.lru.Get(id)
	return v.value, ok
}

// put takes a value in; what has grown since is put again.
func (c *cache[V]) put(id skein.SessionID, value V) {
	c.lru.Remove(id)
	v := sized[V]{value, c.size(value)}
	c.lru.Add(id, v)
	for c.bytes += v.bytes; c.bytes > c.most; {
		if _, _, ok := c.lru.RemoveOldest(); !ok {
			return
		}
	}
}

func (c *cache[V]) drop(id skein.SessionID) { c.lru.Remove(id) }

func (c *cache[V]) clear() { c.lru.Purge() }

// sizeOf gives about how many bytes of memory a state needs; texts that states share are counted in each.
func sizeOf(st *session.State) int {
	const state, turn = 512, 384
	n := state + len(st.ID) + len(st.Subject) + len(st.Memory) + sizeOfMarks(st.Marks)
	for i := range st.Turns {
		t := st.Turns[i]
		n += turn + len(t.Text) + len(t.Reply) + len(t.Source) + len(t.Reason)
		for j := range t.Calls {
			c := &t.Calls[j]
			n += 128 + len(c.Args) + len(c.Result) + len(c.Error) + len(c.Key)
		}
	}
	return n
}

func sizeOfMarks(marks []session.Mark) int { return 64 * len(marks) }
