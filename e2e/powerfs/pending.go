package powerfs

import "slices"

// What waits for a sync that does not come is written all the same after a while, the oldest half first, as a kernel does:
// so many changes of one file or directory are kept apart, and so many bytes of one file's.
const (
	mostHeld  = 4096
	mostBytes = 16 << 20
)

// put writes to a file.
func (f *file) put(w write) {
	f.writes = append(f.writes, w)
	f.held += len(w.data)
	f.data = w.put(f.data)
	if len(f.writes) > mostHeld || f.held > mostBytes {
		n, left := 0, f.held
		for len(f.writes)-n > mostHeld/2 || left > mostBytes/2 {
			left -= len(f.writes[n].data)
			n++
		}
		f.writeBack(n)
	}
}

// writeBack makes the oldest writes durable; not by a copy of data, as a file of megabytes is synced with every append.
func (f *file) writeBack(n int) {
	for _, w := range f.writes[:n] {
		f.durable = w.put(f.durable)
		f.held -= len(w.data)
	}
	f.writes = slices.Delete(f.writes, 0, n)
}

// note remembers a change of names that no sync covers yet.
func (f *file) note(c change) {
	f.changes = append(f.changes, c)
	if len(f.changes) <= mostHeld {
		return
	}
	for _, c := range f.changes[:mostHeld/2] {
		if c.to != nil { // the addition comes first
			c.to.keep(c.file)
		}
		apply(f.synced, c)
	}
	f.changes = slices.Delete(f.changes, 0, mostHeld/2)
}
