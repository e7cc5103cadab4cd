package dev

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// questions to try, in the order of a conversation with the shop; another assistant is greeted only.
var (
	englishGreetings = []string{"hello", "what can you do"}
	chineseGreetings = []string{"你好", "你能做什么"}
	englishQuestions = []string{"where is my order SO10021", "when will it arrive", "do you have Runner X in size 39", "when are you open"}
	chineseQuestions = []string{"我的订单SO10021到哪了", "什么时候能到", "跑鞋有39码吗", "那款鞋还有42码吗", "你们几点开门"}
)

// announce prints that the mesh is ready: one line of JSON, or the table and what to type next.
func (s *supervisor) announce() error {
	f := s.meshFile()
	if s.opts.JSON {
		line := struct {
			Mesh string `json:"mesh"` // path of mesh.json
			PID  int    `json:"pid"`  // of the supervisor
			*meshfile.File
		}{s.home.path("mesh.json"), os.Getpid(), f}
		return json.NewEncoder(s.opts.Stdout).Encode(line)
	}
	w := s.opts.Stdout
	fmt.Fprintf(w, "\nThe mesh %s is ready after %.1f s: %d nodes, everything under %s\n\n", f.Service, time.Since(s.started).Seconds(), len(f.Nodes), s.home.dir)
	printTable(w, f)
	for _, r := range s.plan {
		if n := len(r.zones()); n < 3 {
			fmt.Fprintf(w, "\nRegion %s has %d zone(s): it does not survive the loss of a zone (three are needed).\n", r.name, n)
		}
	}
	s.nextSteps(w, f)
	return nil
}

func printTable(w io.Writer, f *meshfile.File) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tREGION\tZONE\tPID\tQUIC, HTTPS\tDNS\tADMIN")
	for _, n := range f.Nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", n.ID, n.Region, n.Zone, n.PID, n.QUIC, n.DNS, n.Admin)
	}
	t.Flush()
}

// nextSteps prints commands that can be pasted as they are, and comments between them.
func (s *supervisor) nextSteps(w io.Writer, f *meshfile.File) {
	first := f.Nodes[0]
	questions := s.questions()
	host, port, _ := strings.Cut(first.HTTPS, ":")
	body, _ := json.Marshal(map[string]string{"id": "curl:1", "text": questions[0]})
	cmd := s.opts.Command
	fmt.Fprintf(w, "\n# Type this in another terminal:\n")
	if UnderGoRun(s.opts.Executable) {
		fmt.Fprintf(w, "cd %s\n", quote(s.work))
	}
	fmt.Fprintf(w, "export %s=%s\n", meshfile.Env, quote(s.home.path("mesh.json")))
	fmt.Fprintf(w, "\n# Talk to the assistant, then ask the same session again\n%s chat\n", cmd)
	fmt.Fprintf(w, "%s chat --session demo -m %s\n", cmd, quote(questions[0]))
	fmt.Fprintf(w, "%s chat --session demo -m %s\n", cmd, quote(questions[1]))
	fmt.Fprintf(w, "\n# The same over HTTPS\ncurl --cacert %s --resolve %s:%s:%s -H \"Authorization: Bearer $(cat %s)\" -H 'Content-Type: application/json' -d %s https://%s:%s/v1/sessions/%s~curl/turns\n",
		quote(f.CAFile), f.Service, port, host, quote(f.TokenFile), quote(string(body)), f.Service, port, first.Region)
	fmt.Fprintf(w, "\n# The nodes nearest to a client in %s\ndig +short @%s -p %s %s +subnet=%s\n", first.Region, dnsHost(first), dnsPort(first), f.Service, s.exampleSubnet(first))
	fmt.Fprintf(w, "\n# Kill a node and go on talking; it stays dead until it is restarted\n%s dev kill %s\n", cmd, first.ID)
	fmt.Fprintf(w, "%s chat --session demo -m %s\n%s members\n%s dev restart %s\n", cmd, quote(questions[1]), cmd, cmd, first.ID)
	fmt.Fprintf(w, "\n# Questions to try:\n")
	for _, q := range questions {
		fmt.Fprintf(w, "#   %s\n", q)
	}
	fmt.Fprintf(w, "\n# Logs: %s   Ctrl-C ends the mesh.\n", filepath.Join(s.home.path("nodes"), "*", "log"))
}

func (s *supervisor) questions() []string {
	shop := s.opts.Assistant == ""
	switch zh := chinese(s.opts.Getenv); {
	case zh && shop:
		return chineseQuestions
	case zh:
		return chineseGreetings
	case shop:
		return englishQuestions
	}
	return englishGreetings
}

func dnsHost(n meshfile.Node) string { host, _, _ := strings.Cut(n.DNS, ":"); return host }
func dnsPort(n meshfile.Node) string { _, port, _ := strings.Cut(n.DNS, ":"); return port }

// exampleSubnet gives a prefix of the node's region where one is known.
func (s *supervisor) exampleSubnet(n meshfile.Node) string {
	for _, p := range builtinPrefixes {
		if p.region == n.Region && p.prefix.Addr().Is4() {
			return p.prefix.String()
		}
	}
	return builtinPrefixes[0].prefix.String()
}

// quote makes s one word of a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:=@%,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// lastOf gives the last line that is not empty, shortened to what a message can carry.
func lastOf(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if len(last) > 500 {
		last = strings.ToValidUTF8(last[:500], "") + "..."
	}
	return last
}
