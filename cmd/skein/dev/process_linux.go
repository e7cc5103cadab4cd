package dev

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// childAttributes make the kernel kill the child with the thread that started it, and keep a terminal's
// Ctrl-C away from it: the supervisor stops its children in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// shortSocket gives a name of the socket name in dir that fits into sockaddr_un (108 bytes), whatever the
// length of dir. release is called when the name is no longer needed.
func shortSocket(dir, name string) (path string, release func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) < 100 {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), name), func() { d.Close() }, nil
}
