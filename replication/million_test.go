package replication

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

var (
	fillSessions = flag.Int("fill", 0, "sessions to write into -fill.dir, through the real store")
	fillDir      = flag.String("fill.dir", "", "directory of the state file that -fill writes and -reopen opens")
	reopen       = flag.Bool("reopen", false, "open the state file of -fill.dir, tell time and memory, and work on it")
)

// TestFill writes sessions with one turn of about 300 bytes each; a file that is there is gone on with.
//
//	go test ./replication -run TestFill -fill 1000000 -fill.dir DIR && go test ./replication -run TestReopen -reopen -fill.dir DIR
func TestFill(t *testing.T) {
	if *fillSessions == 0 {
		t.Skip("no -fill")
	}
	if err := os.MkdirAll(*fillDir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := openStore(*fillDir, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	m := machineOn(t, s)
	at, begun := s.mark(), time.Now()
	for n := int(at.sessions); n < *fillSessions; {
		var cmds []session.Command
		for ; len(cmds) < maxEntryCommands && n < *fillSessions; n++ {
			open, say := openCmd(n), sayCmd(n, 1, 1)
			id := filledID(n)
			a := say.Body.(session.Accept)
			a.Text, a.Reply = strings.Repeat("q", 100), &session.Reply{Text: strings.Repeat("a", 200), Memory: []byte("{}"), Source: "faq:hours"}
			open.Session, say.Session, say.Body = id, id, a
			cmds = append(cmds, open, say)
		}
		at.index++
		m.Apply(entryOf(t, at.index, cmds...))
		if at.index%16 == 0 {
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.path())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sessions in %v, file %d MiB", s.mark().sessions, time.Since(begun).Round(time.Second), info.Size()>>20)
}

// filledID spreads the sessions over the key space.
func filledID(n int) skein.SessionID {
	return skein.Session("eu", fmt.Sprintf("%016x", uint64(n)*0x9e3779b97f4a7c15))
}

// TestReopen measures a start with a large file, and reads and writes in random sessions for some seconds.
func TestReopen(t *testing.T) {
	if !*reopen {
		t.Skip("no -reopen")
	}
	begun := time.Now()
	s, err := openStore(*fillDir, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	at := s.mark()
	t.Logf("open with %d sessions: %v, %s", at.sessions, time.Since(begun).Round(time.Millisecond), resident(t))
	m := machineOn(t, s)
	for round := range 6 {
		begun, slowest, read := time.Now(), time.Duration(0), 20_000
		for range read {
			one := time.Now()
			id := filledID(rand.IntN(int(at.sessions)))
			if st, err := s.get(id); err != nil || st == nil {
				t.Fatalf("%s: %v, %v", id, st, err)
			}
			slowest = max(slowest, time.Since(one))
		}
		t.Logf("round %d: %d reads, %v each, %v the slowest, %s", round, read, time.Since(begun)/time.Duration(read), slowest, resident(t))
		begun = time.Now()
		written := 0
		for range 40 {
			var cmds []session.Command
			for range 50 {
				id := filledID(rand.IntN(int(at.sessions)))
				st, err := s.get(id)
				if err != nil {
					t.Fatal(err)
				}
				say := sayCmd(0, len(st.Turns)+1, st.Seq)
				say.Session = id
				cmds = append(cmds, say)
			}
			at.index++
			m.Apply(entryOf(t, at.index, cmds...))
			written += len(cmds)
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("round %d: %d turns in %v, %s", round, written, time.Since(begun).Round(time.Millisecond), resident(t))
	}
}

// resident gives the process's memory as the kernel counts it.
func resident(t *testing.T) string {
	runtime.GC()
	buf, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "memory not known here"
	}
	var out []string
	for line := range strings.Lines(string(buf)) {
		if f := strings.Fields(line); len(f) == 3 && (f[0] == "VmRSS:" || f[0] == "RssAnon:" || f[0] == "RssFile:") {
			out = append(out, f[0]+" "+f[1]+" kB")
		}
	}
	return strings.Join(out, " ")
}
