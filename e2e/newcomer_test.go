package e2e

import (
	"encoding/json"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

type said struct {
	Session  string       `json:"session"`
	Node     skein.NodeID `json:"node"`
	Region   string       `json:"region"`
	Via      skein.NodeID `json:"via"`
	Reply    string       `json:"reply"`
	Attempts int          `json:"attempts"`
}

func (d *dev) chat(args ...string) said {
	d.t.Helper()
	out := d.must(append([]string{"chat", "--json"}, args...)...)
	var s said
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		d.t.Fatalf("skein chat printed %q: %v", out, err)
	}
	return s
}

// TestNewcomer is what the README promises: three regions, both languages, a kill, and the memory is intact.
func TestNewcomer(t *testing.T) {
	need(t)
	began := time.Now()
	d := startDev(t)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("ready after %v, want 10 s at most", took)
	}
	if n := len(d.file().Nodes); n != 9 {
		t.Fatalf("%d nodes, want 9", n)
	}
	first := d.chat("--session", "newcomer", "--region", "eu", "-m", "where is my order SO10021")
	if !strings.Contains(first.Reply, "SO10021") || first.Region != "eu" {
		t.Errorf("got %+v", first)
	}
	second := d.chat("--session", first.Session, "-m", "现在到哪了？")
	if !strings.Contains(second.Reply, "SO10021") {
		t.Errorf("the follow-up lost the order: %+v", second)
	}
	d.must("dev", "kill", string(second.Node))
	third := d.chat("--session", first.Session, "-m", "现在到哪了？")
	if !strings.Contains(third.Reply, "SO10021") || third.Node == second.Node {
		t.Errorf("after the kill of %s: %+v", second.Node, third)
	}
	abroad := d.chat("--session", first.Session, "--region", "us", "-m", "where is it now?")
	if !strings.Contains(abroad.Reply, "SO10021") || abroad.Region != "eu" || !strings.HasPrefix(string(abroad.Via), "us-") {
		t.Errorf("from another region: %+v", abroad)
	}
	d.answersFollow()
	d.memory()
}

// answersFollow checks that no living node names a dead one in its DNS answers, within 2 s of its death.
func (d *dev) answersFollow() {
	dig, err := exec.LookPath("dig")
	if err != nil {
		d.t.Log("dig is not installed: the DNS answers are not checked")
		return
	}
	f := d.file()
	region := make(map[string]string)
	var victim skein.NodeID
	var gone string
	for _, n := range f.Nodes {
		at := netip.MustParseAddrPort(n.QUIC).Addr().String()
		region[at] = string(n.Region)
		if n.Region == "us" && victim == "" {
			victim, gone = n.ID, at
		}
	}
	ask := func(dns, subnet string) []string {
		at := netip.MustParseAddrPort(dns)
		out, err := exec.Command(dig, "@"+at.Addr().String(), "-p", itoa(at.Port()), f.Service, "A", "+short", "+time=1", "+tries=1", "+subnet="+subnet).Output()
		if err != nil {
			d.t.Logf("dig at %s: %v", dns, err)
		}
		return strings.Fields(string(out))
	}
	for _, n := range f.Nodes {
		if n.PID == 0 {
			continue
		}
		got := ask(n.DNS, "192.0.2.0/24")
		if len(got) < 2 || region[got[0]] != "eu" {
			d.t.Errorf("%s tells a European prefix %v", n.ID, got)
		}
	}
	if !slices.Contains(ask(f.Nodes[0].DNS, "198.51.100.0/24"), gone) && !slices.Contains(ask(f.Nodes[len(f.Nodes)-1].DNS, "198.51.100.0/24"), gone) {
		d.t.Errorf("%s is in nobody's answer before its death", victim)
	}
	d.must("dev", "kill", string(victim))
	killed := time.Now()
	d.eventually("answers without "+string(victim), 2*time.Second, func() bool {
		for _, n := range d.file().Nodes {
			if n.PID != 0 && slices.Contains(ask(n.DNS, "198.51.100.0/24"), gone) {
				return false
			}
		}
		return true
	})
	d.t.Logf("%s was out of every living node's answers %v after its kill", victim, time.Since(killed).Round(time.Millisecond))
}

func itoa(port uint16) string {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()[len("0.0.0.0:"):]
}

// memory checks what the nodes hold resident: 64 MiB each when idle, 700 MiB for the nine.
func (d *dev) memory() {
	var total uint64
	for _, n := range d.file().Nodes {
		var st status
		if n.PID == 0 || d.admin(n.ID, "/debug/status", &st) != nil {
			continue
		}
		total += st.RSS
		if st.RSS > 64<<20 {
			d.t.Errorf("%s holds %d MiB", n.ID, st.RSS>>20)
		}
	}
	d.t.Logf("resident: %d MiB together", total>>20)
	if total > 700<<20 {
		d.t.Errorf("the nodes hold %d MiB together", total>>20)
	}
}
