package cli

import (
	"fmt"
	"os"
	"strings"
)

// resident is the memory of a process in MiB, as /proc/PID/status has it; zero elsewhere than on Linux.
type resident struct {
	RSS  float64 `json:"rss_mib"`
	Anon float64 `json:"anon_mib"` // Go's heap and stacks
	File float64 `json:"file_mib"` // pages of mapped files, which the system takes back when it needs them
}

// residentMemory reads /proc/PID/status; total is VmRSS for the present or VmHWM for the most there was.
func residentMemory(pid int, total string) resident {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return resident{}
	}
	read := func(key string) float64 {
		for line := range strings.Lines(string(text)) {
			var kib float64
			if rest, ok := strings.CutPrefix(line, key+":"); ok {
				if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%f kB", &kib); err == nil {
					return kib / 1024
				}
			}
		}
		return 0
	}
	if total == "VmHWM" {
		return resident{RSS: read(total)}
	}
	return resident{RSS: read(total), Anon: read("RssAnon"), File: read("RssFile")}
}

func (m resident) String() string {
	return fmt.Sprintf("%.0f MiB (heap and stacks %.0f, file pages %.0f)", m.RSS, m.Anon, m.File)
}
