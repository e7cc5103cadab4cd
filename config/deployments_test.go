package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const deployments = "../deployments"

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deployments, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSampleIsValid(t *testing.T) {
	c, err := Load(filepath.Join(deployments, "skein.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(c.Voters, c.Node) {
		t.Errorf("node %s is not among the voters %v of its own sample", c.Node, c.Voters)
	}
}

// testOnly are the keys that no operator should meet; the sample must not name them.
var testOnly = []string{"no_takeover"}

// TestSampleNamesEveryKey takes the sample with all that is commented out, which must be valid too.
func TestSampleNamesEveryKey(t *testing.T) {
	text := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAllString(read(t, "skein.yaml"), "$1$2")
	var faults Faults
	d := &document{path: "skein.yaml", values: map[string][]item{}, faults: &faults}
	if !d.parse([]byte(text)) || len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, k := range Keys() {
		hidden := slices.Contains(testOnly, k.Name)
		if k.TestOnly != hidden {
			t.Errorf("%s: for tests only: got %v, want %v", k.Name, k.TestOnly, hidden)
		}
		if hidden {
			if strings.Contains(text, k.Name) {
				t.Errorf("the sample names %s, which is for tests only", k.Name)
			}
			continue
		}
		if len(d.values[k.Name]) == 0 {
			t.Errorf("the sample does not name %s", k.Name)
		}
		if k.Default != "" && d.values[k.Name][0].text != k.Default {
			t.Errorf("the sample has %s for %s, want the default %s", d.values[k.Name][0].text, k.Name, k.Default)
		}
	}
	if _, err := Load(write(t, text), nil, nil); err != nil {
		t.Error(err)
	}
}

// TestDockerfileCopiesWhatExists checks the sources of every COPY, in the repository or in an earlier stage.
func TestDockerfileCopiesWhatExists(t *testing.T) {
	copies := 0
	for line := range strings.Lines(strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !slices.Contains([]string{"COPY", "ADD"}, strings.ToUpper(fields[0])) {
			continue
		}
		fields = fields[1:]
		staged := false
		for len(fields) > 0 && strings.HasPrefix(fields[0], "--") {
			staged = staged || strings.HasPrefix(fields[0], "--from=")
			fields = fields[1:]
		}
		if staged {
			continue
		}
		for _, source := range fields[:len(fields)-1] {
			copies++
			if found, err := filepath.Glob(filepath.Join("..", source)); err != nil || len(found) == 0 {
				t.Errorf("COPY %s: no such path in the repository", source)
			}
		}
	}
	if copies < 3 {
		t.Errorf("%d sources, want more: is the Dockerfile read right?", copies)
	}
}

func TestDockerfileNamesPlainImages(t *testing.T) {
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		if name, _, _ := strings.Cut(m[1], ":"); strings.ContainsAny(name, "/.") {
			t.Errorf("FROM %s names a registry", m[1])
		}
	}
}

func TestUnit(t *testing.T) {
	unit := read(t, "systemd/skein.service")
	values := map[string]string{}
	for line := range strings.Lines(unit) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			values[key] = value
		}
	}
	for key, want := range map[string]string{
		"Type": "simple", "Restart": "on-failure", "NoNewPrivileges": "true", "ProtectSystem": "strict", "StateDirectory": "skein",
	} {
		if values[key] != want {
			t.Errorf("%s=%s, want %s", key, values[key], want)
		}
	}
	sample, err := Load(filepath.Join(deployments, "skein.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "/var/lib/" + values["StateDirectory"]; sample.Dir != want {
		t.Errorf("the sample's dir is %s, want the unit's %s", sample.Dir, want)
	}
	stop, err := time.ParseDuration(values["TimeoutStopSec"])
	if longest := max(sample.Drain, 10*time.Second); err != nil || stop <= longest {
		t.Errorf("TimeoutStopSec=%s, want more than the drain of %s", values["TimeoutStopSec"], longest)
	}
}
