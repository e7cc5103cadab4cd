package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/session"
)

// TestUnreadIsLeftOut: one that cannot be read to its end leaves no line behind, and those beside it are whole.
func TestUnreadIsLeftOut(t *testing.T) {
	d, _ := openStore(t)
	k := testKey(t, "ours.example")
	boom := errors.New("boom")
	torn := closed("eu~b", "bob", 4)
	whole := torn.Events
	torn.Events = func(ctx context.Context, after skein.Seq) ([]session.Event, error) {
		if after > 0 {
			return nil, boom
		}
		return whole(ctx, after)
	}
	w, err := Write(t.Context(), d, k, day, []Session{closed("eu~a", "ann", 2), torn, closed("eu~c", "ann", 1)})
	if err != nil || w.Seen != 3 || len(w.Unread) != 1 || !errors.Is(w.Unread["eu~b"], boom) {
		t.Fatalf("%+v, %v", w, err)
	}
	if n, lines := find(t, d, k, Wanted{Subject: "ann"}); n != 2 || len(lines) != 10 {
		t.Errorf("those beside it: %d with %d lines, want 2 with 10", n, len(lines))
	}
	if n, _ := find(t, d, k, Wanted{Session: "eu~b"}); n != 0 {
		t.Error("the torn one is found")
	}
	all, err := manifests(t.Context(), d, k, "eu")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	lines := 0
	err = all[0].read(t.Context(), d, k, func([]byte) error { lines++; return nil })
	if err != nil || lines != 10 || all[0].Lines != 10 {
		t.Errorf("the batch has %d lines and tells %d, %v, want 10", lines, all[0].Lines, err)
	}
}

// TestBatchIsBounded: a batch takes no more sessions once it has 64 MiB of lines.
func TestBatchIsBounded(t *testing.T) {
	d, _ := openStore(t)
	k := testKey(t, "ours.example")
	text := strings.Repeat("x", 8<<20)
	large := func(id skein.SessionID) Session {
		return Session{ID: id, Subject: "ann", Seq: 5, Events: func(_ context.Context, after skein.Seq) ([]session.Event, error) {
			if after == 5 {
				return nil, nil
			}
			return []session.Event{{Session: id, Seq: after + 1, Kind: session.Accepted, At: day.Day, Text: text}}, nil
		}}
	}
	list := []Session{large("eu~a"), large("eu~b"), large("eu~c")}
	for _, want := range []int{2, 1} { // of 40 MiB each
		w, err := Write(t.Context(), d, k, day, list)
		if err != nil || w.Seen != want || len(w.Unread) > 0 {
			t.Fatalf("%d of %d sessions, %v; %v, want %d", w.Seen, len(list), w.Unread, err, want)
		}
		list = list[w.Seen:]
	}
	if all, err := manifests(t.Context(), d, k, "eu"); err != nil || len(all) != 2 || len(all[0].Kept)+len(all[1].Kept) != 3 {
		t.Errorf("%d batches, %v, want 2", len(all), err)
	}
}

// cut is a store that a crash cuts off from its first delete of a key that ends so.
type cut struct {
	backup.Store
	behind string
}

func (c *cut) Delete(ctx context.Context, key string) error {
	if strings.HasSuffix(key, c.behind) {
		return c.Store.Delete(ctx, key)
	}
	return errors.New("the process died")
}

// TestLeftovers: an erase that was cut off between manifest and object, and an upload before its manifest, leave an object that no
// manifest names. The next erase removes it once it is a day old.
func TestLeftovers(t *testing.T) {
	d, root := openStore(t)
	k := testKey(t, "ours.example")
	if _, err := Write(t.Context(), d, k, day, []Session{closed("eu~a", "ann", 2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Erase(t.Context(), &cut{d, ".manifest"}, k, "eu", Wanted{Subject: "ann"}); err == nil {
		t.Fatal("the crash did not come")
	}
	ctx, crash := context.WithCancel(t.Context())
	if _, err := Write(ctx, &slowStore{Store: d, before: ".manifest", first: crash}, k, day, []Session{closed("eu~b", "bob", 2)}); err == nil {
		t.Fatal("the crash did not come")
	}
	if _, err := Write(t.Context(), d, k, day, []Session{closed("eu~c", "cid", 1)}); err != nil {
		t.Fatal(err)
	}
	count := func(step string, want int) []backup.Object {
		t.Helper()
		objects, err := d.List(t.Context(), "")
		if err != nil || len(objects) != want {
			t.Errorf("%s: %d objects, %v, want %d", step, len(objects), err, want)
		}
		return objects
	}
	if n, err := Erase(t.Context(), d, k, "eu", Wanted{Subject: "ann"}); err != nil || n != 0 {
		t.Errorf("erase again: %d, %v", n, err)
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, o := range count("two are left, and may still be written", 4) {
		if err := os.Chtimes(filepath.Join(root, filepath.FromSlash(o.Key)), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Prune(t.Context(), d, testKey(t, "foreign.example"), "eu"); err != nil || n != 0 {
		t.Errorf("another mesh removes %d, %v", n, err)
	}
	if _, err := Erase(t.Context(), d, k, "eu", Wanted{Subject: "ann"}); err != nil {
		t.Fatal(err)
	}
	count("a day later", 2)
	if n, lines := find(t, d, k, Wanted{Session: "eu~c"}); n != 1 || len(lines) != 4 {
		t.Errorf("who has a manifest: %d with %d lines, want 1 with 4", n, len(lines))
	}
}

// TestPruneMeetsAWriter: an object that goes while its manifest is written is no success, or its sessions would be purged without it.
func TestPruneMeetsAWriter(t *testing.T) {
	d, _ := openStore(t)
	slow := &slowStore{Store: d, before: ".manifest", first: func() {
		objects, err := d.List(t.Context(), "")
		if err != nil || len(objects) != 1 {
			t.Fatal(objects, err)
		}
		if err := d.Delete(t.Context(), objects[0].Key); err != nil {
			t.Error(err)
		}
	}}
	list := []Session{closed("eu~a", "ann", 2)}
	if _, err := Write(t.Context(), slow, testKey(t, "ours.example"), day, list); err == nil {
		t.Error("a batch without its object counts as stored")
	}
	if _, err := Write(t.Context(), d, testKey(t, "ours.example"), day, list); err != nil {
		t.Error(err)
	}
	if n, lines := find(t, d, testKey(t, "ours.example"), Wanted{Session: "eu~a"}); n != 1 || len(lines) != 6 {
		t.Errorf("the next try: %d with %d lines, want 1 with 6", n, len(lines))
	}
}
