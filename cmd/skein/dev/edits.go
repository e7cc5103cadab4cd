package dev

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// maxFaults is how many faults of an assistant one message tells.
const maxFaults = 5

// watchAssistant says once for each edit of the assistant whether it is in force. The nodes read the file themselves,
// each at its next turn, and come to the same verdict. told is the stamp of the edition that is in force.
func (s *supervisor) watchAssistant(ctx context.Context, told string) {
	const interval = 200 * time.Millisecond
	if !s.opts.Watch || s.opts.CheckAssistant == nil {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for last := told; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := fileStamp(s.opts.Assistant)
		if now != last { // an editor may still be writing it
			last = now
			continue
		}
		if now == told {
			continue
		}
		told = now
		select {
		case s.edits <- s.verdict(now):
		case <-ctx.Done():
			return
		}
	}
}

// verdict reads the assistant whose stamp is now.
func (s *supervisor) verdict(now string) string {
	if now == "" {
		return s.opts.Assistant + " is gone; its last good edition stays in force"
	}
	if err := s.opts.CheckAssistant(); err != nil {
		return s.opts.Assistant + " is not reloaded, its last good edition stays in force:\n  " + firstLines(err, "\n  ")
	}
	return s.opts.Assistant + " is reloaded, in force from the next turn on"
}

// firstLines gives the first lines of an error that has one for each fault.
func firstLines(err error, between string) string {
	lines := strings.Split(err.Error(), "\n")
	if more := len(lines) - maxFaults; more > 0 {
		lines = append(lines[:maxFaults], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, between)
}

// fileStamp changes when the file does; empty where there is none.
func fileStamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}
