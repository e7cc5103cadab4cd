package cli

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/admin"
)

func TestSteadyCountsFromTheDueTime(t *testing.T) {
	at := time.Unix(1000, 0)
	s := &steady{failed: 2, done: []steadyTurn{
		{at, 10 * time.Millisecond}, {at.Add(time.Second), 20 * time.Millisecond}, {at.Add(2 * time.Second), 40 * time.Millisecond},
	}}
	r := s.between(at, at.Add(2*time.Second))
	if r.Turns != 2 || r.PerSecond != 1 || r.P50 != 10 || r.P99 != 20 || r.Errors != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestResidentMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	now, most := residentMemory(os.Getpid(), "VmRSS"), residentMemory(os.Getpid(), "VmHWM")
	if now.RSS <= 0 || now.Anon <= 0 || now.RSS < now.Anon || most.RSS < now.RSS {
		t.Errorf("got %+v, at most %+v", now, most)
	}
	if got := residentMemory(-1, "VmRSS"); got != (resident{}) {
		t.Errorf("of no process: got %+v", got)
	}
}

func TestRestartReport(t *testing.T) {
	r := &restartResult{Node: "eu-a-1", Role: "leader", Sessions: 7, Wiped: true, Ready: 0.5, Serving: 0.75, CaughtUp: 1,
		Quiet: &benchResult{P99: 4}, Meanwhile: &benchResult{P99: 10}, NotSent: 3}
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"eu-a-1 (leader) with 7 sessions, its disk wiped: ready after 0.50 s", "(2.5 x)", "3 not sent"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

// A node of several groups has caught up when it has in all of them.
func TestReachedInAllGroups(t *testing.T) {
	groups := []admin.GroupStatus{{Applied: 7, Sessions: 1}, {Applied: 9}}
	for _, tt := range []struct {
		groups []admin.GroupStatus
		had    []uint64
		want   bool
	}{
		{groups, []uint64{7, 9}, true}, {groups, []uint64{5, 9}, true}, {groups[:1], []uint64{7}, true},
		{groups, []uint64{7, 10}, false}, {groups, []uint64{8, 9}, false}, {groups, []uint64{7, 0}, false},
		{groups, []uint64{7}, false}, {groups, nil, false}, {groups[1:], []uint64{9}, false}, // no sessions yet
	} {
		if got := reached(tt.groups, tt.had); got != tt.want {
			t.Errorf("%+v of %v: got %v", tt.groups, tt.had, got)
		}
	}
}
