package backup

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

// A full disk is named, and what was there stays.
func TestDirFull(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	d, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	k := testKey(t, "ours.example")
	older := write(t, d, k, "older")
	_, err = Write(t.Context(), d, k, Manifest{Region: "eu", Groups: 1}, states(strings.Repeat("x", 1<<20)))
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), root) {
		t.Errorf("got %v, want ErrNoSpace that names %s", err, root)
	}
	list, err := List(t.Context(), d, k, "eu")
	if err != nil || len(list) != 1 || list[0].Name != older.Name {
		t.Errorf("list is %v, %v; want the older one alone", list, err)
	}
	if got, err := readPart(t, d, k, older, 0); err != nil || got != "older" {
		t.Errorf("the older one holds %q, %v", got, err)
	}
	if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 2 {
		t.Errorf("objects left: %v, %v", objects, err)
	}
}
