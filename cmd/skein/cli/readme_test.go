package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/config"
	"github.com/skein-mesh/skein/mesh"
)

const repository = "../../../" // of the repository

// realHosts gives the fenced blocks of a language in README's section about real hosts.
func realHosts(t *testing.T, language string) []string {
	t.Helper()
	data, err := os.ReadFile(repository + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(data), "\n## Run it on real hosts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, m[1])
	}
	if !found || len(blocks) == 0 {
		t.Fatalf("README has no %s block about real hosts", language)
	}
	return blocks
}

// asScript makes a testscript of the lines that need no host. The agent's configuration is refused only for what the
// lines have not made.
func asScript(t *testing.T) string {
	t.Helper()
	var script strings.Builder
	kinds := map[string]int{}
	for line := range strings.Lines(strings.Join(realHosts(t, "sh"), "")) {
		line, _, _ = strings.Cut(line, "#")
		line, target, redirected := strings.Cut(strings.TrimSpace(line), " > ")
		kind := ""
		for _, known := range []string{"skein ca init ", "skein ca node ", "skein ca service ", "skein token key ", "skein token --", "cp ", "skein agent ", "skein chat "} {
			if strings.HasPrefix(line, known) {
				kind = known
			}
		}
		if kind == "" && line != "" {
			t.Errorf("README: %q: a line that no test knows", line)
		}
		kinds[kind]++
		if line == "" || kind == "skein agent " || kind == "skein chat " {
			continue // these need a mesh
		}
		script.WriteString(line + "\n")
		if redirected {
			script.WriteString("cp stdout " + target + "\n")
		}
	}
	for _, kind := range []string{"skein ca init ", "skein ca node ", "skein ca service ", "skein token key ", "skein token --", "cp ", "skein agent ", "skein chat "} {
		if kinds[kind] == 0 {
			t.Errorf("README has no line %q", kind)
		}
	}
	return script.String()
}

// TestReadmeMakesAHost runs README's lines, and holds what they make against the sample configuration and mesh.json.
func TestReadmeMakesAHost(t *testing.T) {
	dir, work := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), []byte(asScript(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("lines", func(t *testing.T) {
		testscript.Run(t, testscript.Params{Dir: dir, Setup: func(env *testscript.Env) error {
			env.Cd = work
			return nil
		}})
	})
	sample, err := os.ReadFile(repository + "deployments/skein.yaml")
	if err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(work, "pki", "eu-a-1")
	if err := os.WriteFile(filepath.Join(host, "skein.yaml"), sample, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(host, "skein.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := cfg.Files
	contents := map[string][]byte{}
	for _, path := range []string{f.CA, f.Cert, f.Key, f.ServiceCert, f.ServiceKey, f.Secret, f.TokenKey, f.AdminToken} {
		if contents[path], err = os.ReadFile(path); err != nil {
			t.Errorf("the sample names what README does not make: %v", err)
		}
	}
	id, err := mesh.LoadIdentity(contents[f.CA], contents[f.Cert], contents[f.Key])
	if err != nil {
		t.Fatal(err)
	}
	if id.Node() != cfg.Node {
		t.Errorf("README makes the identity of %s, the sample is of %s", id.Node(), cfg.Node)
	}
	checkMeshFile(t, filepath.Join(work, "ca", "mesh.json"), cfg.Service)
}

// checkMeshFile puts README's mesh.json where README says it is, and has the commands read it.
func checkMeshFile(t *testing.T, path, service string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(realHosts(t, "json")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := meshfile.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if m.Service != service {
		t.Errorf("README's mesh.json is of %s, the sample of %s", m.Service, service)
	}
	if _, err := clientConfig(m, "eu"); err != nil {
		t.Errorf("chat: %v", err)
	}
	if _, err := newOperator(m); err != nil {
		t.Errorf("members: %v", err)
	}
}
