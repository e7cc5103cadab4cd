package powerfs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	kernel "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Env names the mount point to a process that Mount has started.
const Env = "SKEIN_POWERFS"

// request is what the two processes say to each other, one line of JSON each way.
type request struct {
	Op    string `json:"op"` // arm, failed, revive, ignore, hang, break, cure
	Path  string `json:"path,omitempty"`
	Steps int    `json:"steps,omitempty"`
	Power bool   `json:"power,omitempty"`
	Seed  uint64 `json:"seed,omitempty"`
}

type answer struct {
	Error  string         `json:"error,omitempty"`
	Failed bool           `json:"failed,omitempty"`
	Kinds  map[string]int `json:"kinds,omitempty"`
}

// Serve mounts a Disk at the place that Env names and serves it until standard input ends. Without Env it
// reports false at once.
func Serve() (bool, error) {
	at := os.Getenv(Env)
	if at == "" {
		return false, nil
	}
	d := NewDisk()
	server, err := fs.Mount(at, &node{disk: d, file: d.root}, &fs.Options{
		MountOptions:    kernel.MountOptions{DirectMountStrict: true, FsName: "powerfs", Name: "powerfs", MaxWrite: 1 << 20},
		RootStableAttr:  &fs.StableAttr{Ino: d.root.ino, Mode: unix.S_IFDIR},
		NullPermissions: true,
	})
	if err != nil {
		return true, fmt.Errorf("mount %s: %w", at, err)
	}
	fmt.Println("{}")
	err = d.listen(os.Stdin, os.Stdout)
	return true, errors.Join(err, unix.Unmount(at, unix.MNT_DETACH), wait(server))
}

func wait(s *kernel.Server) error {
	s.Wait()
	return nil
}

func (d *Disk) listen(in io.Reader, out io.Writer) error {
	lines, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r request
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		var a answer
		var err error
		switch r.Op {
		case "arm":
			err = d.Arm(r.Path, r.Steps)
		case "failed":
			a.Failed = d.Failed()
		case "revive":
			err = d.Revive(r.Path, r.Power, r.Seed)
		case "ignore":
			a.Kinds = d.Ignore(r.Path)
		case "hang":
			d.Hang(r.Path)
		case "break":
			d.Break(r.Path)
		case "cure":
			d.Cure(r.Path)
		default:
			err = fmt.Errorf("control: unknown operation %q", r.Op)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := enc.Encode(a); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
}

// Mounted is a Disk in another process, which is at Dir.
type Mounted struct {
	Dir string

	cmd  *exec.Cmd
	in   io.WriteCloser
	mu   sync.Mutex // one exchange at a time
	out  *bufio.Reader
	once sync.Once
}

// Mount starts cmd, which has to call Serve, and waits until the file system is at dir, an empty directory, in a mount
// namespace of that process: however the two end, nothing stays mounted. Mounted.Dir leads there from outside. The
// error wraps os.ErrPermission where the kernel does not let this user mount.
func Mount(dir string, cmd *exec.Cmd) (*Mounted, error) {
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", os.ErrPermission, err)
	} else if f.Close(); os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: only root mounts without a helper", os.ErrPermission)
	}
	cmd.Env = append(os.Environ(), Env+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m := &Mounted{Dir: fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, dir), cmd: cmd, in: in, out: bufio.NewReader(out)}
	if _, err := m.read(); err != nil {
		m.Close()
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return m, nil
}

// closeFor is how long the other process may take to end. It waits for files that are open below Dir, such as those of a
// state file that could not be read.
const closeFor = 5 * time.Second

// Close unmounts and ends the other process; what is open below Dir fails from then on.
func (m *Mounted) Close() (err error) {
	m.once.Do(func() {
		m.in.Close()
		late := time.AfterFunc(closeFor, func() { m.cmd.Process.Kill() })
		defer late.Stop()
		err = m.cmd.Wait()
	})
	return err
}

func (m *Mounted) read() (a answer, err error) {
	line, err := m.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}

func (m *Mounted) ask(r request) (answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := json.NewEncoder(m.in).Encode(r); err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", r.Op, r.Path, err)
	}
	a, err := m.read()
	if err != nil {
		return a, fmt.Errorf("%s %s: %w", r.Op, r.Path, err)
	}
	return a, nil
}

// Arm is Disk.Arm; sub is relative to Dir.
func (m *Mounted) Arm(sub string, steps int) error {
	_, err := m.ask(request{Op: "arm", Path: sub, Steps: steps})
	return err
}

// Failed is Disk.Failed.
func (m *Mounted) Failed() (bool, error) {
	a, err := m.ask(request{Op: "failed"})
	return a.Failed, err
}

// Revive is Disk.Revive; to is relative to Dir.
func (m *Mounted) Revive(to string, power bool, seed uint64) error {
	_, err := m.ask(request{Op: "revive", Path: to, Power: power, Seed: seed})
	return err
}

// Ignore is Disk.Ignore.
func (m *Mounted) Ignore(kind string) (map[string]int, error) {
	a, err := m.ask(request{Op: "ignore", Path: kind})
	return a.Kinds, err
}

// Hang is Disk.Hang.
func (m *Mounted) Hang(sub string) error {
	_, err := m.ask(request{Op: "hang", Path: sub})
	return err
}

// Break is Disk.Break.
func (m *Mounted) Break(sub string) error {
	_, err := m.ask(request{Op: "break", Path: sub})
	return err
}

// Cure is Disk.Cure.
func (m *Mounted) Cure(sub string) error {
	_, err := m.ask(request{Op: "cure", Path: sub})
	return err
}
