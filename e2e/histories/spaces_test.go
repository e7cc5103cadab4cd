package histories

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// half is the measure of these tests.
const half = 500 * time.Millisecond

// insideEnv says to a test process that it has a network and mounts of its own.
const insideEnv = "SKEIN_HISTORIES_INSIDE"

// privileged runs a test in a process with a network and mounts of its own, where it may do what it likes; inside that one
// it gives true. It skips where that cannot be.
func privileged(t *testing.T) bool {
	t.Helper()
	need(t)
	if os.Getenv(insideEnv) != "" {
		return true
	}
	if why := noSpaces(); why != "" {
		t.Skip(why)
	}
	return inside(t)
}

// apart is like privileged where that can be; elsewhere the test runs as it is.
func apart(t *testing.T) bool {
	t.Helper()
	need(t)
	if os.Getenv(insideEnv) != "" || noSpaces() != "" {
		return true
	}
	return inside(t)
}

// noSpaces says why there are no namespaces here; "": there are.
func noSpaces() string {
	if os.Geteuid() != 0 {
		return "needs root: namespaces and mounts"
	}
	for _, tool := range []string{"unshare", "ip", "tc", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("needs %s (util-linux, iproute2): %v", tool, err)
		}
	}
	return ""
}

// inside runs the test in another process, beside others that do, and gives false.
func inside(t *testing.T) bool {
	t.Helper()
	t.Parallel()
	args := []string{"--net", "--mount", "--propagation", "private", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=10m", "-e2e"}
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), insideEnv+"=1", binaryEnv+"="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	return false
}

func sh(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// spread gives every agent a network of its own behind one bridge, in which the test is too.
func (f *fleet) spread() {
	t := f.t
	sh(t, "mount -t tmpfs none /run/netns")
	sh(t, "ip link add br0 type bridge")
	sh(t, "ip addr add 10.77.0.254/24 dev br0")
	sh(t, "ip link set br0 up")
	var seeds []string
	for i, a := range f.agents {
		a.host = fmt.Sprintf("10.77.0.%d", i+1)
		a.quic, a.adm = a.host+":8443", a.host+":8080"
		seeds = append(seeds, a.host+":7946")
		sh(t, "ip netns add n%d", i)
		sh(t, "ip link add v%d type veth peer name eth0 netns n%d", i, i)
		sh(t, "ip link set v%d master br0 up", i)
		sh(t, "ip -n n%d addr add %s/24 dev eth0", i, a.host)
		sh(t, "ip -n n%d link set eth0 up", i)
		sh(t, "ip -n n%d link set lo up", i)
		sh(t, "ip netns exec n%d tc qdisc add dev eth0 clsact", i)
	}
	for i, a := range f.agents {
		a.args = append(a.args, "--listen-client", a.quic, "--listen-dns", a.host+":8053", "--listen-admin", a.adm,
			"--listen-gossip", a.host+":7946", "--listen-global", a.host+":7947",
			"--seeds", strings.Join(append(append([]string{}, seeds[:i]...), seeds[i+1:]...), ","))
	}
	f.inside = func(a *agent, args []string) []string {
		return append([]string{"ip", "netns", "exec", fmt.Sprintf("n%d", f.index(a))}, args...)
	}
}

func (f *fleet) index(a *agent) int {
	for i := range f.agents {
		if f.agents[i] == a {
			return i
		}
	}
	return -1
}

// cut drops what goes from one agent to another, until mend.
func (f *fleet) cut(from, to *agent) {
	sh(f.t, "ip -n n%d route add blackhole %s/32", f.index(from), to.host)
}

func (f *fleet) mend(from, to *agent) {
	sh(f.t, "ip -n n%d route del blackhole %s/32", f.index(from), to.host)
}

// lossProgram drops 30 % of all packets: it loads a random number (linux/filter.h, SKF_AD_RANDOM) and compares it with
// 0.3 of 2^32; 2 is TC_ACT_SHOT, 0 TC_ACT_OK.
const lossProgram = "4,32 0 0 4294963256,37 1 0 1288490188,6 0 0 2,6 0 0 0"

// lose drops 30 % of what an agent sends, to whomever, until keep.
func (f *fleet) lose(a *agent) {
	out, err := exec.Command("ip", "netns", "exec", fmt.Sprintf("n%d", f.index(a)), "tc", "filter", "add", "dev", "eth0", "egress", "bpf", "da", "bytecode", lossProgram).CombinedOutput()
	if err != nil {
		f.t.Fatalf("loss: %v: %s", err, out)
	}
}

func (f *fleet) keep(a *agent) {
	sh(f.t, "ip netns exec n%d tc filter del dev eth0 egress", f.index(a))
}

// TestPartitions: nodes that do not hear each other, in one direction or both, and 30 % of all packets lost. The clients reach
// every node all the time.
func TestPartitions(t *testing.T) {
	if !privileged(t) {
		return
	}
	f := newFleet(t)
	f.spread()
	f.start(f.agents...)
	f.leader()
	c := f.crowd(3)
	for _, x := range []struct {
		who     string
		out, in bool
	}{{"leader", true, true}, {"leader", true, false}, {"leader", false, true}, {"follower", true, true}, {"follower", true, false}, {"all", true, true}} {
		hit := f.target(x.who)
		pause(half)
		f.partition(hit, x.out, x.in, f.cut)
		pause(5 * half * 2)
		f.partition(hit, x.out, x.in, f.mend)
		f.leader()
		pause(2 * half)
	}
	for _, a := range f.agents {
		f.lose(a)
	}
	pause(16 * half)
	for _, a := range f.agents {
		f.keep(a)
	}
	f.judge(c)
}

// partition does something with the paths of some agents to and from the others.
func (f *fleet) partition(hit []*agent, out, in bool, do func(from, to *agent)) {
	done := map[[2]*agent]bool{}
	each := func(a, b *agent) {
		if a != b && !done[[2]*agent{a, b}] {
			done[[2]*agent{a, b}] = true
			do(a, b)
		}
	}
	for _, a := range hit {
		for _, b := range f.agents {
			if out {
				each(a, b)
			}
			if in {
				each(b, a)
			}
		}
	}
}
