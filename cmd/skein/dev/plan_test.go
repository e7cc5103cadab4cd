package dev

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skein-mesh/skein"
)

func TestParseRegions(t *testing.T) {
	tests := []struct{ in, nodes, canonical string }{
		{"eu=a", "eu-a-1", "eu=a"},
		{"eu=a,b,c;us=a,b", "eu-a-1 eu-b-1 eu-c-1 us-a-1 us-b-1", "eu=a,b,c;us=a,b"},
		{"eu=a,a,b", "eu-a-1 eu-a-2 eu-b-1", "eu=a,a,b"},
		{" eu = a , b ; ", "eu-a-1 eu-b-1", "eu=a,b"},
	}
	for _, tt := range tests {
		got, err := parseRegions(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		var ids []string
		for _, r := range got {
			for _, n := range r.nodes {
				ids = append(ids, string(n.Node))
			}
		}
		if strings.Join(ids, " ") != tt.nodes || got.String() != tt.canonical {
			t.Errorf("%q: got %v, %q; want %s, %q", tt.in, ids, got, tt.nodes, tt.canonical)
		}
	}
}

func TestParseRegionsRefuses(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "want 1 to 16 regions"},
		{"eu", "want REGION=ZONE"},
		{"eu=", "no name for a zone"},
		{"eu=a,,b", "no name for a zone"},
		{"e u=a", "no name for a region"},
		{"eu~=a", "no name for a region"},
		{"eu=a;eu=b", "given twice"},
		{"eu=w-a;eu-w=a", "two nodes would be called eu-w-a-1"},
		{"eu=" + strings.Repeat("z", 64), "longer than 64"},
		{"eu=" + strings.TrimSuffix(strings.Repeat("a,", 65), ","), "at most 64 nodes"},
	}
	for _, tt := range tests {
		if _, err := parseRegions(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: got %v, want %q", tt.in, err, tt.want)
		}
	}
}

func FuzzParseRegions(f *testing.F) {
	for _, seed := range []string{DefaultRegions, "eu=a,a,b", ";;", "eu=a=b", "=,;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseRegions(s)
		if err != nil {
			return
		}
		again, err := parseRegions(got.String())
		if err != nil || again.String() != got.String() {
			t.Errorf("%q becomes %q, which becomes %q, %v", s, got, again, err)
		}
	})
}

func TestVoters(t *testing.T) {
	tests := []struct{ in, want string }{
		{"eu=a,b,c", "eu-a-1 eu-b-1 eu-c-1"},
		{"eu=a,b,c,d", "eu-a-1 eu-b-1 eu-c-1"},
		{"eu=a,b,c,d,e,f", "eu-a-1 eu-b-1 eu-c-1 eu-d-1 eu-e-1"},
		{"eu=a,a,b,c", "eu-a-1 eu-b-1 eu-c-1"},
		{"eu=a,b", "eu-a-1 eu-b-1"},
		{"eu=a,a,b", "eu-a-1 eu-b-1 eu-a-2"},
		{"eu=a,a,a,a", "eu-a-1 eu-a-2 eu-a-3"},
		{"eu=a", "eu-a-1"},
	}
	for _, tt := range tests {
		plan, err := parseRegions(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Trim(fmt.Sprint(plan[0].voters()), "[]"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestAssign(t *testing.T) {
	plan, err := parseRegions("eu=a,b;us=a")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name       string
		oneAddress bool
		node       skein.NodeID
		client     string
		global     string
	}{
		{"own addresses", false, "us-a-1", "127.0.2.1:8443", "127.0.2.1:7947"},
		{"own addresses", false, "eu-b-1", "127.0.1.2:8443", "127.0.1.2:7947"},
		{"one address", true, "eu-a-1", "127.0.0.1:8443", "127.0.0.1:7947"},
		{"one address", true, "us-a-1", "127.0.0.1:8643", "127.0.0.1:8147"},
	}
	for _, tt := range tests {
		all, err := assign(plan, DefaultPorts, tt.oneAddress)
		if err != nil {
			t.Fatal(err)
		}
		if got := all[tt.node]; got.client.String() != tt.client || got.global.String() != tt.global {
			t.Errorf("%s: %s got %s and %s, want %s and %s", tt.name, tt.node, got.client, got.global, tt.client, tt.global)
		}
	}
	if _, err := assign(plan, Ports{Client: 9000, DNS: 9000}.or(DefaultPorts), false); err == nil || !strings.Contains(err.Error(), "--dns-port") {
		t.Errorf("the same port twice: got %v", err)
	}
	if _, err := assign(plan, Ports{Client: 65500}.or(DefaultPorts), true); err == nil || !strings.Contains(err.Error(), "lower ports") {
		t.Errorf("past the last port: got %v", err)
	}
}

// The largest mesh on one address has no two sockets on one port.
func TestAssignManyOnOneAddress(t *testing.T) {
	plan, err := parseRegions("eu=" + strings.TrimSuffix(strings.Repeat("a,", maxNodes), ","))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := assign(plan, DefaultPorts, true); err != nil {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	any0 := netip.MustParseAddrPort("127.0.0.1:0")
	free := endpoints{any0, any0, any0, any0, any0}
	if err := probe("n", free, new(supervisor).portAdvice); err != nil {
		t.Errorf("free ports: %v", err)
	}
	busy := free
	busy.admin = tcp.Addr().(*net.TCPAddr).AddrPort()
	if err := probe("eu-a-1", busy, new(supervisor).portAdvice); err == nil || !strings.Contains(err.Error(), "--admin-port") || !strings.Contains(err.Error(), "eu-a-1") || strings.Contains(err.Error(), "\n") {
		t.Errorf("TCP port in use: got %v", err)
	}
	resumed := &supervisor{home: &home{dir: "/d"}, resumed: true}
	if err := probe("eu-a-1", busy, resumed.portAdvice); err == nil || !strings.Contains(err.Error(), `or change "admin" in /d/dev.json`) {
		t.Errorf("TCP port in use, resumed: got %v", err)
	}
	busy = free
	busy.dns = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := probe("eu-a-1", busy, new(supervisor).portAdvice); err == nil || !strings.Contains(err.Error(), "/udp") || !strings.Contains(err.Error(), "--dns-port") {
		t.Errorf("UDP port in use: got %v", err)
	}
}

func TestLocale(t *testing.T) {
	tests := []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"LANG": "zh_CN.UTF-8"}, true},
		{map[string]string{"LANG": "en_US.UTF-8"}, false},
		{map[string]string{"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, false},
		{map[string]string{"LC_MESSAGES": "zh_TW", "LANG": "C"}, true},
		{map[string]string{"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh"}, true},
		{map[string]string{"LANG": "zha_CN"}, false}, // Zhuang
	}
	for _, tt := range tests {
		if got := chinese(func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.env, got, tt.want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	plan, err := parseRegions("eu=a;us=a")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "geo")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n10.1.2.3/8 us # headquarters\n\n2001:db8:9::/48\teu\n")
	all, err := plan.prefixes(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range all {
		got = append(got, p.prefix.String()+" "+string(p.region))
	}
	want := []string{"192.0.2.0/24 eu", "2001:db8:1::/48 eu", "198.51.100.0/24 us", "10.0.0.0/8 us", "2001:db8:9::/48 eu"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for text, want := range map[string]string{"10.0.0.0/8": ":1: want PREFIX REGION", "\nx eu": ":2: \"x\" is no prefix", "10.0.0.0/8 ap": "does not have"} {
		write(text)
		if _, err := plan.prefixes(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParsePrefixes(f *testing.F) {
	f.Add("10.0.0.0/8 eu\n")
	f.Add("# x\n::/0 us")
	f.Add("1.2.3.4/33 eu")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parsePrefixes(strings.NewReader(s))
		for _, p := range all {
			if err == nil && (!p.prefix.IsValid() || p.prefix != p.prefix.Masked()) {
				t.Errorf("%q gives %s", s, p.prefix)
			}
		}
	})
}
