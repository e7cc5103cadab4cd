package failover

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
)

var rewrite = flag.Bool("rewrite", false, "write what the machine does into testdata")

// TestScenarios plays testdata/*.txt. Each line is a time and an event; the actions that follow it are indented
// below. Run with -rewrite to bring them up to date, and read the difference.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := play(string(want))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if got == string(want) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s differs, run with -rewrite and read the difference\n--- got\n%s", file, got)
		})
	}
}

// play runs a scenario and returns it with the actions as they came.
func play(text string) (string, error) {
	var out strings.Builder
	m := New(Config{})
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		now, ev, err := parseLine(line)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", n, err)
		}
		for _, a := range m.Step(now, ev) {
			out.WriteString("\t" + show(a) + "\n")
		}
	}
	return out.String(), lines.Err()
}

func parseLine(line string) (time.Duration, Event, error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return 0, nil, errors.New("want TIME EVENT")
	}
	now, err := time.ParseDuration(f[0])
	if err != nil {
		return 0, nil, err
	}
	ev, err := parseEvent(f[1], append(f[2:], "", "", "", "", ""))
	return now, ev, err
}

func parseEvent(word string, arg []string) (Event, error) {
	switch word {
	case "up":
		return NodeUp{runner(arg[0]), skein.Zone(arg[1]), arg[2] == "voter"}, nil
	case "suspect":
		return NodeSuspect{runner(arg[0]), skein.Zone(arg[1])}, nil
	case "dead":
		return NodeDead{runner(arg[0]), skein.Zone(arg[1])}, nil
	case "draining", "undrained":
		return NodeDraining{skein.NodeID(arg[0]), word == "draining"}, nil
	case "leader":
		return Leader{skein.NodeID(arg[0]), arg[1] == "me"}, nil
	case "turn":
		return parseTurn(arg), nil
	case "turns":
		return parseTurns(arg), nil
	case "closed":
		k := parseTurn(arg)
		return TurnClosed{k.Session, k.Turn}, nil
	case "done", "failed":
		a, err := parseAction(arg)
		if err == nil && word == "failed" {
			return ActionDone{a, errors.New("refused")}, nil
		}
		return ActionDone{Action: a}, err
	case "tick":
		return Tick{}, nil
	}
	return nil, fmt.Errorf("unknown event %q", word)
}

// parseTurn reads SESSION/ATTEMPT NODE#INCARNATION [paused|lapsed].
func parseTurn(arg []string) Turn {
	name, attempt, _ := strings.Cut(arg[0], "/")
	n, _ := strconv.Atoi(attempt)
	return Turn{
		Session: skein.Session("eu", name), Turn: skein.TurnID{Client: "c", Counter: 1}, Attempt: skein.Attempt(n),
		Runner: runner(arg[1]), Paused: arg[2] == "paused", Lapsed: arg[2] == "lapsed",
	}
}

func parseTurns(arg []string) Turns {
	var all Turns
	for i := 0; i+1 < len(arg) && arg[i] != ""; i += 2 {
		all.Open = append(all.Open, parseTurn([]string{arg[i], arg[i+1], ""}))
	}
	return all
}

func parseAction(arg []string) (Action, error) {
	switch arg[0] {
	case "demote":
		return Demote{skein.NodeID(arg[1])}, nil
	case "restore":
		return Restore{skein.NodeID(arg[1])}, nil
	case "hand":
		return HandLeadership{skein.NodeID(arg[1])}, nil
	case "zone-lost":
		return ZoneLost{skein.Zone(arg[1])}, nil
	case "zone-back":
		return ZoneBack{skein.Zone(arg[1])}, nil
	case "take":
		t := parseTurn(arg[1:])
		return TakeTurn{t.Session, t.Turn, t.Attempt, t.Runner}, nil
	}
	return nil, fmt.Errorf("unknown action %q", arg[0])
}

func runner(s string) skein.Runner {
	id, inc, _ := strings.Cut(s, "#")
	n, _ := strconv.ParseUint(inc, 10, 64)
	return skein.Runner{Node: skein.NodeID(id), Incarnation: skein.Incarnation(n)}
}

func show(a Action) string {
	switch a := a.(type) {
	case Demote:
		return "demote " + string(a.Node)
	case Restore:
		return "restore " + string(a.Node)
	case HandLeadership:
		return "hand " + string(a.To)
	case ZoneLost:
		return "zone-lost " + string(a.Zone)
	case ZoneBack:
		return "zone-back " + string(a.Zone)
	case TakeTurn:
		_, name := a.Session.Split()
		return fmt.Sprintf("take %s/%d %s", name, a.Attempt, a.To)
	}
	return fmt.Sprintf("unknown %T", a)
}
