package skein_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skein-mesh/skein"

// house says who may import whom. A room that is not named here, or an arrow that is not, fails. Every room may
// import the root package; "telemetry" may be imported by every room that is not pure. Test files are free.
var house = map[string][]string{
	".":         {},
	"session":   {},
	"geo":       {},
	"failover":  {},
	"wire":      {},
	"telemetry": {},

	"geo/geodns":              {"geo"},
	"mesh":                    {"wire"},
	"replication":             {"replication/seglog", "session", "wire"},
	"replication/seglog":      {},
	"replication/backup":      {},
	"replication/backup/s3":   {"replication/backup"},
	"replication/archive":     {"replication/backup", "session"},
	"inference":               {},
	"inference/llama":         {"inference"},
	"inference/openai":        {"inference"},
	"inference/inferencetest": {"inference"},
	"assistant":               {"assistant/gazetteer", "assistant/intent", "assistant/retrieval", "assistant/tagger", "assistant/text", "inference", "session", "wire"},
	"assistant/text":          {},
	"assistant/linear":        {"assistant/text"},
	"assistant/intent":        {"assistant/linear", "assistant/text"},
	"assistant/tagger":        {"assistant/text"},
	"assistant/gazetteer":     {"assistant/text"},
	"assistant/retrieval":     {"assistant/text"},
	"assistant/guard":         {"assistant/linear", "assistant/text"},
	"turn":                    {"session", "wire"},
	"gateway":                 {"session", "wire"},
	"admin":                   {"session", "wire"},
	"client":                  {"wire"},

	"node": {"admin", "assistant", "failover", "gateway", "geo", "geo/geodns", "inference", "inference/llama",
		"inference/openai", "mesh", "replication", "replication/archive", "replication/backup", "replication/backup/s3", "session", "turn", "wire"},
	"node/nodetest": {"client", "gateway", "mesh", "node", "session", "wire"},
	"config":        {"node"},

	// The command talks to nodes as a client and as an operator, and makes what they trust: the mesh's certificates, tokens.
	"cmd/skein":          {"cmd/skein/cli"},
	"cmd/skein/cli":      {"admin", "client", "cmd/skein/dev", "cmd/skein/meshfile", "config", "gateway", "mesh", "node", "wire"},
	"cmd/skein/dev":      {"client", "cmd/skein/meshfile", "config", "gateway", "mesh"},
	"cmd/skein/meshfile": {},

	"replication/backup/s3/s3test": {}, // a server for tests

	"e2e":           {}, // tests with real processes
	"e2e/histories": {}, // used by tests only
	"e2e/powerfs":   {}, // used by tests only
}

// pure are the rooms that decide and never act; bare are those that need nothing but the standard library.
var (
	pure = []string{"session", "geo", "failover"}
	bare = []string{".", "session", "failover", "telemetry"}
)

type source struct {
	room string // directory, "." for the root
	file string
	tree *ast.File
}

// sources parses every file of the module that is no test.
func sources(t *testing.T) (all []source, files *token.FileSet) {
	t.Helper()
	files = token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			skip := name != "." && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || name == "bin" || name == "internal_deps" || name == "web")
			if skip {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{room: path.Dir(filepath.ToSlash(name)), file: name, tree: tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("%d files found: the walk is wrong", len(all))
	}
	return all, files
}

func imports(f *ast.File) (paths []string) {
	for _, s := range f.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

func TestArrows(t *testing.T) {
	all, _ := sources(t)
	for _, s := range all {
		if fault := arrows(s.room, imports(s.tree)); fault != "" {
			t.Errorf("%s: %s", s.file, fault)
		}
	}
}

// arrows gives the first import that room may not have.
func arrows(room string, paths []string) string {
	may, known := house[room]
	if !known {
		return "the room " + room + " is not in the plan of the house"
	}
	for _, p := range paths {
		to, ours := strings.CutPrefix(p, module+"/")
		switch {
		case p == module:
		case ours && to == "telemetry" && !slices.Contains(pure, room):
		case ours && !slices.Contains(may, to):
			return "may not import " + to
		case !ours && strings.Contains(strings.Split(p, "/")[0], ".") && slices.Contains(bare, room):
			return "may import the standard library only, not " + p
		}
	}
	return ""
}

func TestPureRooms(t *testing.T) {
	all, files := sources(t)
	for _, s := range all {
		if !slices.Contains(pure, s.room) {
			continue
		}
		for _, fault := range impure(s.tree) {
			t.Errorf("%s: %s", files.Position(fault.at), fault.what)
		}
	}
}

type fault struct {
	at   token.Pos
	what string
}

// impure finds sockets, files, loggers, locks, goroutines and clocks.
func impure(f *ast.File) (faults []fault) {
	for _, s := range f.Imports {
		p, _ := strconv.Unquote(s.Path.Value)
		root, _, _ := strings.Cut(p, "/")
		banned := []string{"net", "os", "log", "sync", "syscall", "context"}
		if p != "net/netip" && slices.Contains(banned, root) || p == "math/rand" || p == "math/rand/v2" || p == "crypto/rand" {
			faults = append(faults, fault{s.Pos(), "a pure room imports " + p})
		}
	}
	clock := []string{"Now", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until"}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			faults = append(faults, fault{n.Pos(), "a pure room starts a goroutine"})
		case *ast.ChanType:
			faults = append(faults, fault{n.Pos(), "a pure room has a channel"})
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
				faults = append(faults, fault{n.Pos(), "a pure room uses time." + n.Sel.Name})
			}
		}
		return true
	})
	return faults
}

// TestRulesNotice shows that the two rules above can fail.
func TestRulesNotice(t *testing.T) {
	for room, p := range map[string]string{
		"session":     module + "/wire",
		"geo":         module + "/telemetry",
		"client":      module + "/session",
		"mesh":        module + "/replication",
		"replication": module + "/mesh",
		"failover":    "github.com/hashicorp/raft",
		"newroom":     module,
	} {
		if arrows(room, []string{p}) == "" {
			t.Errorf("%s may import %s", room, p)
		}
	}
	src := `package p
import ("net/http"; "net/netip"; "time")
var ch chan int
func f() { go f(); _ = time.Now(); time.Sleep(1); _ = time.Second; http.Get(""); _ = netip.Addr{} }`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(impure(f)); got != 5 {
		t.Errorf("%d faults found, want 5", got)
	}
}
