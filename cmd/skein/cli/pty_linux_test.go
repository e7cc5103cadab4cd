package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal gives both ends of a pseudo-terminal of the given size (pty(7)).
func openTerminal(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// readUntil reads the terminal until what was written contains want.
func readUntil(t *testing.T, r io.Reader, want string) string {
	t.Helper()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), want) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v before %q in:\n%q", err, want, all.String())
		}
	}
	return all.String()
}

// A terminal narrower than the table shows one page over the other, and is given back as it was.
func TestWatchInATerminal(t *testing.T) {
	const columns, rows = 60, 10
	master, slave := openTerminal(t, columns, rows)
	mesh := halfDead(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"node":"eu-a-1","ready":"ok","groups":[{"role":"leader","sessions":7}]}`))
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- watch(ctx, slave, mesh, 200*time.Millisecond, false) }()
	text := readUntil(t, master, home)
	for range 2 { // pages
		text += readUntil(t, master, clearBelow)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	text += readUntil(t, master, leaveScreen)
	if !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) {
		t.Errorf("the terminal is not taken over and given back: %q", text)
	}
	if !strings.Contains(text, "leader") || !strings.Contains(text, "silent") {
		t.Errorf("got %q", text)
	}
	for page := range strings.SplitSeq(text, home) {
		if n := strings.Count(page, "\n"); n >= rows {
			t.Errorf("a page of %d lines would scroll", n)
		}
		for line := range strings.SplitSeq(page, clearLine) {
			if n := len(strings.TrimLeft(line, "\r\n")); !strings.Contains(line, "\x1b") && n > columns {
				t.Errorf("%q: %d columns would wrap", line, n)
			}
		}
	}
}
