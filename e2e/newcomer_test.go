package e2e

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

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

// answers asks the DNS of every living node at once, as a client of the subnet would, and gives the addresses by node.
func (d *dev) answers(f meshFile, subnet string) map[skein.NodeID][]string {
	var mu sync.Mutex
	var asking sync.WaitGroup
	out := make(map[skein.NodeID][]string)
	for _, n := range f.Nodes {
		if n.PID == 0 {
			continue
		}
		asking.Go(func() {
			got, err := lookUp(n.DNS, f.Service, netip.MustParsePrefix(subnet))
			if err != nil {
				d.t.Errorf("DNS of %s: %v", n.ID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			out[n.ID] = got
		})
	}
	asking.Wait()
	return out
}

func lookUp(server, name string, subnet netip.Prefix) ([]string, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeA)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice(),
	})
	c := dns.Client{Timeout: time.Second}
	a, _, err := c.Exchange(q, server)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rr := range a.Answer {
		if a, ok := rr.(*dns.A); ok {
			out = append(out, a.A.String())
		}
	}
	return out, nil
}

// answersFollow checks that a European prefix is sent to Europe, and that no living node names a dead one in its DNS
// answers later than 2 s after its death.
func (d *dev) answersFollow() {
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
	for id, got := range d.answers(f, "192.0.2.0/24") {
		if len(got) < 2 || region[got[0]] != "eu" {
			d.t.Errorf("%s tells a European prefix %v", id, got)
		}
	}
	for id, got := range d.answers(f, "198.51.100.0/24") {
		if !slices.Contains(got, gone) {
			d.t.Errorf("%s tells an American prefix %v, without %s", id, got, gone)
		}
	}
	d.must("dev", "kill", string(victim))
	killed := time.Now()
	for f = d.file(); ; wait(20 * time.Millisecond) {
		var late []skein.NodeID
		for id, got := range d.answers(f, "198.51.100.0/24") {
			if slices.Contains(got, gone) {
				late = append(late, id)
			}
		}
		took := time.Since(killed)
		if len(late) == 0 && took <= 2*time.Second {
			d.t.Logf("%s was out of every living node's answers %v after its kill", victim, took.Round(time.Millisecond))
			return
		}
		if took > 2*time.Second {
			d.t.Errorf("%v after the kill of %s it was still in the answers of %v", took, victim, late)
			return
		}
	}
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
