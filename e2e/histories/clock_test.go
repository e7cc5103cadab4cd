package histories

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The wall clock of one process cannot be set from outside. So the nodes are built with another time.Now: it adds what
// SKEIN_CLOCK_STEP says, "UNIXSECONDS:STEPSECONDS", once that time has come. The monotonic clock goes on as before, as it does
// when an operator or NTP sets the clock of a host.
const (
	clockEnv = "SKEIN_CLOCK_STEP"
	nowAsIs  = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	nowSteps = "\tsec, nsec, mono := runtimeNow()\n\tsec += clockStep(sec)\n\tif mono == 0 {"
	stepper  = `
var clockStepAt, clockStepBy int64

func clockStep(now int64) int64 {
	if clockStepAt == 0 {
		clockStepAt = 1 << 62
		if s, ok := syscall.Getenv("SKEIN_CLOCK_STEP"); ok {
			var n [2]int64
			i, sign := 0, int64(1)
			for _, c := range []byte(s) {
				switch {
				case c == ':':
					i = 1
				case c == '-':
					sign = -1
				default:
					n[i] = 10*n[i] + int64(c-'0')
				}
			}
			clockStepAt, clockStepBy = n[0], sign*n[1]
		}
	}
	if now >= clockStepAt {
		return clockStepBy
	}
	return 0
}
`
)

// buildStepping builds the command with a wall clock that can be stepped.
func buildStepping(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(src), nowAsIs, nowSteps, 1)
	changed = strings.Replace(changed, "import (\n", "import (\n\t\"syscall\"\n", 1) + stepper
	if !strings.Contains(changed, nowSteps) || !strings.Contains(changed, "\"syscall\"\n") {
		t.Skip("time.Now of this Go is not as expected: the clock step is tested in virtual time only")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "time.go"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: filepath.Join(dir, "time.go")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "skein")
	if err := build(to, "-overlay", filepath.Join(dir, "overlay.json")); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestClockStep: the wall clocks of one node, of another and of all are set forth or back by an hour.
func TestClockStep(t *testing.T) {
	if !apart(t) {
		return
	}
	bin := buildStepping(t)
	for i, steps := range [][3]int{{3600, 0, 0}, {-3600, 0, 3600}, {3600, 3600, 3600}, {-3600, -3600, -3600}} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			f := newFleet(t)
			at := time.Now().Add(8 * time.Second).Unix()
			for k, a := range f.agents {
				a.bin, a.env = bin, []string{fmt.Sprintf("%s=%d:%d", clockEnv, at, steps[k])}
			}
			f.start(f.agents...)
			f.leader()
			c := f.crowd(uint64(10 + i))
			pause(time.Until(time.Unix(at+4, 0)))
			for _, a := range f.agents {
				if gone, err := a.ended(); gone {
					t.Errorf("%s ended: %v", a.id, err)
				}
			}
			f.kill(f.leader()) // and what starts now begins with the new time
			f.leader()
			pause(2 * half)
			for _, a := range f.agents {
				if a.cmd == nil {
					f.start(a)
				}
			}
			f.judge(c)
		})
	}
}

// TestBlockedLog: nobody reads what the nodes write.
func TestBlockedLog(t *testing.T) {
	if !apart(t) {
		return
	}
	f := newFleet(t)
	r, w, err := os.Pipe() // and never a read
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for n := 0; n < 1<<16; n += 4096 { // the pipe is full from the begin
		if _, err := w.Write(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range f.agents {
		a.out = w
		a.args = append(a.args, "--log-level", "debug")
	}
	f.start(f.agents...)
	f.leader()
	c := f.crowd(20)
	pause(6 * half)
	hit := f.target("leader")
	f.kill(hit...)
	pause(4 * half)
	f.start(hit...)
	f.leader()
	pause(4 * half)
	f.judge(c)
}
