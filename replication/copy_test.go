package replication

import (
	"errors"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TestCopyGivesWay: what is copied for a backup passes at the pace of a copy, and a group that stops does not wait for it.
func TestCopyGivesWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKeptStore(t)
		err := k.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(sessionsBucket).Put([]byte("large"), make([]byte, 24<<20)) })
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var c Copy
		if err := k.copyTo(&c, k.dir, nil); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		least := time.Duration(float64(c.Size)/copyRate*float64(time.Second)) - credit
		if took := time.Since(began); least < 100*time.Millisecond || took < least {
			t.Errorf("%d bytes in %v, want %v or more", c.Size, took, least)
		}
		stop := make(chan struct{})
		close(stop)
		if err := k.copyTo(&Copy{}, k.dir, stop); !errors.Is(err, errStopping) {
			t.Errorf("a copy of a group that stops: %v, want %v", err, errStopping)
		}
	})
}
