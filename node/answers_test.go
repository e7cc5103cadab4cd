package node

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/assistant"
)

const greeter = `assistant:
  id: greeter
  version: 1
  languages: [en]
knowledge:
  - id: faq
    faq:
      - {id: hi, q: {en: [hello]}, a: {en: Hi.}}
`

func testAnswers(t *testing.T, watch bool) (*answers, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "greeter.yaml")
	writeAssistant(t, path, greeter)
	a, err := (&Node{cfg: Config{AssistantFile: path, AssistantWatch: watch}, log: slog.New(slog.NewTextHandler(&log, nil))}).openAnswers()
	if err != nil {
		t.Fatal(err)
	}
	return a, &log
}

func writeAssistant(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An edit is in force at the next turn, without any wait, and a mistake leaves the last good edition in force.
func TestEditIsInForceAtOnce(t *testing.T) {
	a, log := testAnswers(t, true)
	if got := a.latest().Version(); got != 1 {
		t.Fatalf("first: got version %d, want 1", got)
	}
	writeAssistant(t, a.path, strings.Replace(greeter, "version: 1", "version: 22", 1))
	if got := a.latest().Version(); got != 22 {
		t.Errorf("after the edit: got version %d, want 22", got)
	}
	writeAssistant(t, a.path, greeter+"faqs: []\n")
	for range 3 {
		if got := a.latest().Version(); got != 22 {
			t.Errorf("after the mistake: got version %d, want 22", got)
		}
	}
	if got := strings.Count(log.String(), "assistant is not reloaded"); got != 1 || !strings.Contains(log.String(), "greeter.yaml:9:") {
		t.Errorf("the mistake was told %d times, want once with its line:\n%s", got, log)
	}
	if err := os.Remove(a.path); err != nil {
		t.Fatal(err)
	}
	if got := a.latest().Version(); got != 22 {
		t.Errorf("without the file: got version %d, want 22", got)
	}
}

func TestUnwatchedFileIsReadOnce(t *testing.T) {
	a, _ := testAnswers(t, false)
	writeAssistant(t, a.path, strings.Replace(greeter, "version: 1", "version: 22", 1))
	if got := a.latest().Version(); got != 1 {
		t.Errorf("got version %d, want 1", got)
	}
}

func TestCheckAssistant(t *testing.T) {
	path := filepath.Join(t.TempDir(), "greeter.yaml")
	if err := CheckAssistant(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	writeAssistant(t, path, greeter)
	if err := CheckAssistant(path); err != nil {
		t.Errorf("a good one: got %v", err)
	}
	writeAssistant(t, path, greeter+"faqs: []\n")
	if faults, ok := errors.AsType[assistant.Faults](CheckAssistant(path)); !ok || faults[0].Line != 9 || faults[0].File != path {
		t.Errorf("a mistake: got %v, want line 9 of %s", faults, path)
	}
}
