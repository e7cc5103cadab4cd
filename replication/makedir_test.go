package replication

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestMakeDirSyncsEachParent(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "var", "lib", "skein")
	var synced []string
	note := func(dir string) error {
		synced = append(synced, dir)
		return nil
	}
	if err := makeDir(deep, note); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{root, filepath.Join(root, "var"), filepath.Join(root, "var", "lib")} {
		if !slices.Contains(synced, want) {
			t.Errorf("synced: got %q, want %s among them", synced, want)
		}
	}
	if info, err := os.Stat(deep); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: got %v, %v, want mode 0700", deep, info, err)
	}
	synced = nil
	if err := makeDir(deep, note); err != nil || !slices.Equal(synced, []string{filepath.Join(root, "var", "lib")}) {
		t.Errorf("a directory that is there: got %v, synced %q, want its parent", err, synced)
	}
	if err := makeDir(deep, func(string) error { return os.ErrPermission }); err != nil {
		t.Errorf("a directory that is there, below one that may not be read: got %v", err)
	}
	broken := errors.New("input/output error")
	if err := makeDir(filepath.Join(deep, "x"), func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a sync that fails: got %v, want %v", err, broken)
	}
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "x")} {
		if err := MakeDir(dir); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("make %s: got %v, want %v", dir, err, syscall.ENOTDIR)
		}
	}
}
