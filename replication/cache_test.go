package replication

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/session"
)

func TestCacheIsBoundedInBytes(t *testing.T) {
	c := newCache(100, 10_000, func(s string) int { return len(s) })
	for i := range 50 {
		c.put(sid(i), strings.Repeat("x", 1000))
	}
	if c.bytes > 10_000 || c.lru.Len() != 10 {
		t.Errorf("got %d bytes in %d entries, want 10 entries of 1000", c.bytes, c.lru.Len())
	}
	c.put(sid(49), strings.Repeat("x", 3000)) // it grew
	if _, ok := c.get(sid(49)); !ok || c.bytes != 10_000 || c.lru.Len() != 8 {
		t.Errorf("after growth: got %d bytes in %d entries, want 10000 in 8", c.bytes, c.lru.Len())
	}
	c.put(sid(1), strings.Repeat("x", 20_000)) // larger than everything
	if c.bytes != 0 || c.lru.Len() != 0 {
		t.Errorf("too large: got %d bytes in %d entries, want none", c.bytes, c.lru.Len())
	}
	few := newCache(3, 10_000, func(string) int { return 1 })
	for i := range 5 {
		few.put(sid(i), "")
	}
	if few.bytes != 3 || few.lru.Len() != 3 {
		t.Errorf("few: got %d bytes in %d entries, want 3 in 3", few.bytes, few.lru.Len())
	}
}

func TestSizeCountsWhatIsLarge(t *testing.T) {
	big := strings.Repeat("x", session.MaxReply)
	st := &session.State{Turns: []*session.Turn{{Reply: big, Calls: []session.Call{{Args: big}}}}, Memory: []byte(big), Marks: make([]session.Mark, 1000)}
	if got, want := sizeOf(st), 3*len(big)+1000*32; got < want {
		t.Errorf("got %d, want at least %d", got, want)
	}
}

// What was read from the file leaves the process's memory again, and is still there.
func TestMappedPagesAreForgotten(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel's counts are read on Linux only")
	}
	s := memoryStore(t)
	err := s.db.Update(func(tx *bolt.Tx) error {
		for i := range uint64(4000) {
			key := eventKey(i + 1)
			if err := tx.Bucket(eventsBucket).Put(key, seal(key, make([]byte, 4096))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	readAll := func(tx *bolt.Tx) error {
		for i := range uint64(4000) {
			if _, err := readEventBytes(tx, i+1); err != nil {
				return fmt.Errorf("event %d: %w", i+1, err)
			}
		}
		return nil
	}
	if err := s.view(func(tx *bolt.Tx) error {
		if err := readAll(tx); err != nil {
			return err
		}
		before := fileResident()
		forgetMapped(tx)
		if freed := before - fileResident(); freed < 8<<20 {
			t.Errorf("forgotten: got %d bytes of at least 16 MiB", freed)
		}
		return readAll(tx)
	}); err != nil {
		t.Fatal(err)
	}
}
