package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/seglog"
)

// TestGroupOf has the answers that stored data depends on. They never change.
func TestGroupOf(t *testing.T) {
	for _, x := range []struct {
		id    skein.SessionID
		wants [3]int // of 2, 3 and 8 groups
	}{
		{"", [3]int{1, 0, 3}},
		{"eu~a", [3]int{0, 1, 4}},
		{"eu~s1", [3]int{0, 0, 0}},
		{"eu~s2", [3]int{0, 2, 4}},
		{"us~01890a5d-ac96-774b-bcce-b302099a8057", [3]int{1, 2, 1}},
		{"ap~顾客", [3]int{1, 0, 7}},
	} {
		if got := [3]int{GroupOf(x.id, 2), GroupOf(x.id, 3), GroupOf(x.id, 8)}; got != x.wants {
			t.Errorf("groups of %q among 2, 3 and 8: got %v, want %v", x.id, got, x.wants)
		}
		if got := GroupOf(x.id, 1); got != 0 {
			t.Errorf("group of %q among 1: got %d", x.id, got)
		}
	}
}

// TestGroupOfIsEven: ids that differ in little spread evenly. The bound is five standard deviations.
func TestGroupOfIsEven(t *testing.T) {
	const ids = 80000
	for _, form := range []string{"eu~s%d", "eu~%08x", "us~user-%d@example.com", "eu~%d%[1]d"} {
		var count [8]int
		for i := range ids {
			count[GroupOf(skein.SessionID(fmt.Sprintf(form, i)), 8)]++
		}
		for g, n := range count {
			if n < ids/8-468 || n > ids/8+468 {
				t.Errorf("%s: group %d has %d of %d", form, g, n, ids)
			}
		}
	}
}

func TestClaimGroups(t *testing.T) {
	logger := newRaftLog(nil)
	use := func(t *testing.T, dir string) {
		t.Helper()
		if err := MakeDir(dir); err != nil {
			t.Fatal(err)
		}
		log, err := seglog.Open(filepath.Join(dir, logDir))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(log.SetUint64([]byte("CurrentTerm"), 3), log.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write := func(t *testing.T, dir, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, groupsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		groups  int
		want    string // in the error; "": none
	}{
		{"new", func(*testing.T, string) {}, 4, ""},
		{"the same again", func(t *testing.T, dir string) { write(t, dir, "4\n"); use(t, filepath.Join(dir, "group-2")) }, 4, ""},
		{"another number", func(t *testing.T, dir string) { write(t, dir, "4\n"); use(t, filepath.Join(dir, "group-2")) }, 2, "set groups to 4"},
		{"another number, but nothing is in it", func(t *testing.T, dir string) { write(t, dir, "4\n") }, 2, ""},
		{"one group of an older build", func(t *testing.T, dir string) { use(t, dir) }, 1, ""},
		{"one group of an older build for several", func(t *testing.T, dir string) { use(t, dir) }, 8, "set groups to 1"},
		{"too many", func(t *testing.T, dir string) { write(t, dir, "9\n") }, 8, "1 to 8"},
		{"no number", func(t *testing.T, dir string) { write(t, dir, "") }, 8, "1 to 8"},
		{"no number but a log", func(t *testing.T, dir string) { write(t, dir, "-1"); use(t, dir) }, 1, "1 to 8"},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := t.TempDir()
			x.prepare(t, dir)
			before := stored(t, dir)
			err := claimGroups(dir, x.groups, logger)
			if x.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if n, err := readGroups(dir); n != x.groups || err != nil {
					t.Errorf("stored: got %d, %v, want %d", n, err, x.groups)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
			if after := stored(t, dir); after != before {
				t.Errorf("the directory was changed:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// stored lists the files of a directory with their sizes.
func stored(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&list, "%s %x\n", path, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

func TestReadDivision(t *testing.T) {
	for _, x := range []struct {
		answer [2]byte
		want   division
		bad    bool
	}{
		{[2]byte{1, 0}, division{1, false}, false},
		{[2]byte{8, 1}, division{8, true}, false},
		{[2]byte{0, 1}, division{}, true},
		{[2]byte{9, 1}, division{}, true},
		{[2]byte{2, 2}, division{}, true},
	} {
		got, err := readDivision(x.answer)
		if got != x.want || (err != nil) != x.bad {
			t.Errorf("%v: got %v, %v, want %v, an error: %v", x.answer, got, err, x.want, x.bad)
		}
	}
}
