package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

func TestExitCode(t *testing.T) {
	for _, x := range []struct {
		err  error
		want int
	}{
		{errors.New("nobody there"), 1},
		{&usageError{errors.New("no such flag")}, 2},
		{&nodeError{errors.New("a port is in use")}, 1},
		{&nodeError{fmt.Errorf("group: append to the log: %w", node.ErrDiskHung)}, 10},
		{&nodeError{fmt.Errorf("group: %w: no space left on device", node.ErrStorage)}, 11},
		{&nodeError{fmt.Errorf("group 3: %w", node.ErrDiverged)}, 12},
		{&nodeError{fmt.Errorf("state.db: %w", node.ErrCorrupt)}, 13},
		{&nodeError{fmt.Errorf("%w: read the log: %w", node.ErrStorage, node.ErrCorrupt)}, 13},
		{&nodeError{skein.Fault(skein.CodeRefused, "set groups to 4")}, 14},
		{skein.Fault(skein.CodeRefused, "another node's answer"), 1},
	} {
		if got := exitCode(x.err); got != x.want {
			t.Errorf("%v: got %d, want %d", x.err, got, x.want)
		}
	}
}

// TestExitCodesAreDocumented holds the README's table and the unit's list against the codes.
func TestExitCodesAreDocumented(t *testing.T) {
	read := func(path string) string {
		data, err := os.ReadFile(filepath.Join("../../..", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(read("README.md"), -1) {
		rows = append(rows, m[1])
	}
	want := fmt.Sprint([]int{exitOK, exitFault, exitUsage, exitDiskHung, exitStorage, exitDiverged, exitCorrupt, exitRefused})
	if got := "[" + strings.Join(rows, " ") + "]"; got != want {
		t.Errorf("README: codes %s, want %s", got, want)
	}
	if line := fmt.Sprintf("\nRestartPreventExitStatus=%d %d %d\n", exitUsage, exitCorrupt, exitRefused); !strings.Contains(read("deployments/systemd/skein.service"), line) {
		t.Errorf("the unit has no line %q", line)
	}
}
