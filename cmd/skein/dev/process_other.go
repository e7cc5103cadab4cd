//go:build unix && !linux

package dev

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// childAttributes keep a terminal's Ctrl-C away from the child; without a signal of the kernel the pipe of
// lifeline.go alone ends it.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// shortSocket gives the socket's name, which has to fit into sockaddr_un (104 bytes).
func shortSocket(dir, name string) (path string, release func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) > 100 {
		return "", nil, fmt.Errorf("%s: too long for the name of a socket; choose a --dir with a shorter name", path)
	}
	return path, func() {}, nil
}
