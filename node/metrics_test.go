package node_test

import (
	"bufio"
	"context"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/node"
	"github.com/skein-mesh/skein/node/nodetest"
)

var meterName = regexp.MustCompile(`skein_[a-z0-9_]+`)

// names gives the meters' names in a text, once each.
func names(text string) []string {
	out := meterName.FindAllString(text, -1)
	slices.Sort(out)
	return slices.Compact(out)
}

func documented(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	return names(string(doc))
}

// Every name that the code makes is in docs/metrics.md, and none besides.
func TestMetricsAreDocumented(t *testing.T) {
	quoted := regexp.MustCompile(`"skein_[a-z0-9_]+"`)
	var made []string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != ".." {
			if _, nested := os.Stat(filepath.Join(path, "go.mod")); nested == nil || strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, q := range quoted.FindAllString(string(code), -1) {
			made = append(made, strings.Trim(q, `"`))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(made)
	if made, doc := slices.Compact(made), documented(t); !slices.Equal(made, doc) {
		t.Errorf("made:\n%s\ndocumented:\n%s", strings.Join(made, "\n"), strings.Join(doc, "\n"))
	}
}

// A node serves what operators expect, and nothing that is not documented.
func TestMetricsOfANode(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m := nodetest.NewWith(t, "eu=a,b,c", 1, func(c *node.Config) { c.Files.AdminToken, c.Groups = token, 8 })
		defer m.Close()
		leader := m.Leader("eu")
		var at netip.Addr
		for _, p := range m.Running() {
			if p.ID == leader {
				at = p.Addr
			}
		}
		var got map[string]string
		m.Eventually("three members", 10*time.Second, func() bool {
			got = scrape(t, m.Net.Host(netip.MustParseAddr("10.0.9.9")), netip.AddrPortFrom(at, 8080))
			return got[`skein_members{region="eu",status="alive"}`] == "3" && got[`skein_group_survives_zone{group="0"}`] == "1" &&
				got["skein_mesh_connections"] == "2" // one with each other node, for all groups
		})
		for name, want := range map[string]string{
			`skein_members{region="eu",status="dead"}`: "0", `skein_group_leader{group="0"}`: "1", `skein_group_voter{group="0"}`: "1",
			`skein_group_quorum{group="0"}`: "1", `skein_group_voters{group="0"}`: "3", "skein_draining": "0", "skein_mesh_unproved": "0",
			`skein_dns_answers_total{rcode="refused"}`: "0", `skein_group_open_turns{group="0"}`: "0",
		} {
			if got[name] != want {
				t.Errorf("%s is %q, want %s", name, got[name], want)
			}
		}
		for _, name := range []string{`skein_group_term{group="0"}`, `skein_group_applied_index{group="0"}`, "skein_mesh_tethers", "skein_mesh_connections"} {
			if v := got[name]; v == "" || v == "0" {
				t.Errorf("%s is %q", name, v)
			}
		}
		for number, want := range map[string]string{"7": "3", "8": ""} {
			if name := `skein_group_voters{group="` + number + `"}`; got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		doc := documented(t)
		for sample := range got {
			name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(meterName.FindString(sample), "_bucket"), "_sum"), "_count")
			if name != "" && !slices.Contains(doc, name) {
				t.Errorf("%s is served and not documented", name)
			}
		}
	})
}

// scrape reads /metrics: the value of each sample by its name and labels.
func scrape(t *testing.T, host *nodetest.Host, at netip.AddrPort) map[string]string {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return host.Dial(ctx, at) }, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer 0123456789abcdef0123456789abcdef")
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out := map[string]string{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			if i := strings.LastIndex(lines.Text(), " "); i > 0 {
				name, value = lines.Text()[:i], lines.Text()[i+1:]
			}
			out[name] = value
		}
	}
	return out
}
