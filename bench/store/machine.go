package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine describes what the figures depend on: processors, load, and how long a synced write takes where the
// stores will be.
func machine() (string, error) {
	took, err := syncedWrite()
	if err != nil {
		return "", fmt.Errorf("synced write in %s: %w", os.TempDir(), err)
	}
	return fmt.Sprintf("%d processors, load average %s, a synced write of 4 KiB in %s takes %.2f ms",
		runtime.GOMAXPROCS(0), loadAverage(), os.TempDir(), milliseconds(took)), nil
}

// loadAverage gives the machine's load over 1, 5 and 15 minutes, where the system tells it.
func loadAverage() string {
	buf, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(buf))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

// syncedWrite gives the median time of an append of 4 KiB and its sync.
func syncedWrite() (took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "skein-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	times := make([]time.Duration, 31)
	page := []byte(text(4 << 10))
	for i := range times {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return percentile(times, 50), nil
}
