package histories

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/e2e/powerfs"
)

// TestDiskServer is the process of the file system that gets sick.
func TestDiskServer(t *testing.T) {
	if asked, err := powerfs.Serve(); err != nil {
		t.Fatal(err)
	} else if !asked {
		t.Skip("started by TestSickDisks")
	}
}

// TestSickDisks: a disk that hangs for 3 s and for good, and one whose sync fails once, at the leader and at a follower.
func TestSickDisks(t *testing.T) {
	if !privileged(t) {
		return
	}
	f := newFleet(t)
	disk, err := powerfs.Mount(t.TempDir(), exec.Command(os.Args[0], "-test.run=^TestDiskServer$"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.kill(f.agents...)
		disk.Close() //nolint:errcheck // its exit status is that of a test without the rest
	})
	for _, a := range f.agents {
		a.data = filepath.Join(disk.Dir, string(a.id))
		a.args = append(a.args, "--dir", a.data)
	}
	f.start(f.agents...)
	f.leader()
	c := f.crowd(4)
	for _, x := range []struct {
		who   string
		spoil func(string) error
		lasts time.Duration
		dies  bool
	}{
		{"leader", disk.Hang, 3 * time.Second, false}, {"follower", disk.Hang, 3 * time.Second, false},
		{"leader", disk.Hang, 14 * time.Second, true}, {"follower", disk.Hang, 14 * time.Second, true},
		{"leader", disk.Break, 2 * time.Second, true}, {"follower", disk.Break, 2 * time.Second, true},
	} {
		hit := f.target(x.who)
		pause(half)
		for _, a := range hit {
			if err := x.spoil(string(a.id)); err != nil {
				t.Fatal(err)
			}
		}
		pause(x.lasts)
		for _, a := range hit {
			gone, err := a.ended()
			if gone != x.dies || gone && err == nil {
				t.Errorf("%s %s after %v: ended %v (%v), want %v", x.who, a.id, x.lasts, gone, err, x.dies)
			}
			if err := disk.Cure(string(a.id)); err != nil {
				t.Fatal(err)
			}
			f.kill(a) // one that hangs in the kernel cannot end before
			f.start(a)
		}
		f.leader()
		pause(2 * half)
	}
	f.judge(c)
}

// TestFullDisk: no room at all for a node's data, until somebody makes some.
func TestFullDisk(t *testing.T) {
	if !privileged(t) {
		return
	}
	f := newFleet(t)
	for _, a := range f.agents {
		if err := os.RemoveAll(a.data); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(a.data, 0o700); err != nil {
			t.Fatal(err)
		}
		sh(t, "mount -t tmpfs -o size=192m none %s", a.data)
	}
	t.Cleanup(func() {
		f.kill(f.agents...)
		for _, a := range f.agents {
			sh(t, "umount %s", a.data)
		}
	})
	f.start(f.agents...)
	f.leader()
	c := f.crowd(5)
	for _, who := range []string{"leader", "follower", "all"} {
		hit := f.target(who)
		pause(half)
		for _, a := range hit {
			fill(t, filepath.Join(a.data, "ballast"))
		}
		pause(8 * half)
		for _, a := range hit {
			gone, err := a.ended()
			t.Logf("%s %s: ended %v, %v", who, a.id, gone, err)
			if err := os.Remove(filepath.Join(a.data, "ballast")); err != nil {
				t.Fatal(err)
			}
			if gone {
				f.start(a)
			}
		}
		f.leader()
		pause(4 * half)
	}
	f.judge(c)
}

func fill(t *testing.T, path string) {
	t.Helper()
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = w.Write(make([]byte, size))
		}
	}
}

// TestFlippedBits: a bit of the log, of the state or of a snapshot turns while a node is down, or the end of its log is
// torn. The node says which file it is and ends, or finds out later from the others, or the bit was one that nothing reads;
// set aside, it comes back. Whatever it does, nobody is told anything wrong.
func TestFlippedBits(t *testing.T) {
	if !apart(t) {
		return
	}
	f := newFleet(t)
	f.start(f.agents...)
	f.leader()
	c := f.crowd(6)
	told := 0
	for i, x := range []struct{ pattern, who string }{
		{"log/*.seg", "leader"}, {"log/*.seg", "follower"}, {"log/stable", "follower"}, {"state.db", "leader"}, {"state.db", "follower"}, {"torn", "follower"}, {"torn", "leader"},
	} {
		a := f.target(x.who)[0]
		pause(3 * half)
		f.kill(a)
		if x.pattern == "torn" {
			tear(t, a.data)
		} else {
			flip(t, a.data, x.pattern, i)
		}
		f.start(a)
		pause(3 * half)
		if gone, err := a.ended(); gone {
			told++
			said := f.read(a.log)
			if at := strings.LastIndex(said, a.data); at < 0 {
				t.Errorf("%s, %s: ended with %v and names no file", x.pattern, a.id, err)
			}
			if err := os.Rename(a.data, fmt.Sprintf("%s-%d", a.data, i)); err != nil {
				t.Fatal(err)
			}
			f.start(a)
		}
		f.leader()
		pause(2 * half)
	}
	t.Logf("%d of 7 nodes ended with an error that names the file", told)
	f.judge(c)
}

// find gives the newest file of a pattern.
func find(t *testing.T, dir, pattern string) string {
	t.Helper()
	var found string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.Contains(path, "quarantine") {
			return err
		}
		at, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		for _, p := range []string{pattern, "*/" + pattern} {
			if ok, err := filepath.Match(p, at); err != nil || ok {
				found = path
				return err
			}
		}
		return nil
	})
	if err != nil || found == "" {
		t.Fatalf("%s in %s: got %q, %v", pattern, dir, found, err)
	}
	return found
}

// flip turns a bit in the middle of what a file holds.
func flip(t *testing.T, dir, pattern string, n int) {
	t.Helper()
	path := find(t, dir, pattern)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(data, "\x00"))
	at := used * (2 + n%3) / 5
	for data[at] == 0 { // a byte that is in use
		at++
	}
	data[at] ^= 1 << (n % 8)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tear takes the end of the last append away, as a write does that was cut off by the loss of power.
func tear(t *testing.T, dir string) {
	t.Helper()
	path := find(t, dir, "log/*.seg")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(data, "\x00"))
	clear(data[max(4096, used-100):])
	if err := errors.Join(os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}
