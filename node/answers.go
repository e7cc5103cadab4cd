package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/assistant"
	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/inference/openai"
	"github.com/skein-mesh/skein/turn"
)

// answers gives turns to the assistant that is in force.
type answers struct {
	node    *Node
	engine  inference.Engine // nil: no model
	current atomic.Pointer[edition]
	path    string
}

// edition is what one reading of the assistant's file gave.
type edition struct {
	asst  *assistant.Assistant // the last one that parsed
	stamp string               // of the file as it was read last, whether it parsed or not
}

// watchEvery is how often the assistant's file is looked at while no turn asks for it.
const watchEvery = 200 * time.Millisecond

func (n *Node) openAnswers() (*answers, error) {
	a := &answers{node: n, path: n.cfg.AssistantFile, engine: n.cfg.Engine}
	if a.engine == nil && n.cfg.Model.URL != "" {
		engine, err := openModel(n.cfg.Model)
		if err != nil {
			return nil, err
		}
		a.engine = engine
	}
	if a.path == "" {
		shop, err := assistant.Shop()
		if err != nil {
			return nil, err
		}
		a.current.Store(&edition{asst: a.equip(shop)})
		return a, nil
	}
	now := stamp(a.path)
	asst, err := readAssistant(a.path)
	if err != nil {
		return nil, fmt.Errorf("assistant: %w", err)
	}
	a.current.Store(&edition{asst: a.equip(asst), stamp: now})
	return a, nil
}

func openModel(m Model) (inference.Engine, error) {
	cfg := openai.Config{BaseURL: m.URL, Model: m.Name, Timeout: m.Timeout}
	if m.KeyFile != "" {
		key, err := os.ReadFile(m.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("model key: %w", err)
		}
		cfg.Key = strings.TrimSpace(string(key))
	}
	engine, err := openai.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("model.url: %w", err)
	}
	return engine, nil
}

// CheckAssistant reads the definition of an assistant as a node would; nobody uses it afterwards. The error names the
// line of each fault.
func CheckAssistant(path string) error {
	_, err := readAssistant(path)
	return err
}

func readAssistant(path string) (*assistant.Assistant, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return assistant.Parse(path, data)
}

// equip connects an assistant to what it may use.
func (a *answers) equip(asst *assistant.Assistant) *assistant.Assistant {
	return asst.With(assistant.Deps{Engine: a.engine, HTTP: &http.Client{Timeout: time.Minute}, Env: os.Getenv})
}

// run looks at the assistant's file also while there are no turns, so that the log tells of an edit soon.
func (a *answers) run(ctx context.Context) error {
	if !a.watched() {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.latest()
		}
	}
}

// knows reports whether a new session may name the assistant: the node has one.
func (a *answers) knows(id string) bool { return id == a.latest().ID() }

func (a *answers) watched() bool { return a.path != "" && a.node.cfg.AssistantWatch }

// latest gives the assistant as its file is now; one that does not parse is told once and changes nothing. Turns that
// find an edit at the same time all read it, and the first one's reading counts.
func (a *answers) latest() *assistant.Assistant {
	for {
		was := a.current.Load()
		if !a.watched() {
			return was.asst
		}
		now := stamp(a.path)
		if now == was.stamp || now == "" { // gone for a moment: an editor is writing it
			return was.asst
		}
		asst, err := readAssistant(a.path)
		next := &edition{asst: was.asst, stamp: now}
		if err == nil {
			next.asst = a.equip(asst)
		}
		if !a.current.CompareAndSwap(was, next) {
			continue // somebody else has read it: look again, since it may have been an earlier edit
		}
		if err != nil {
			a.node.log.Error("assistant is not reloaded", "error", err)
		} else {
			a.node.log.Info("assistant reloaded", "id", asst.ID(), "version", asst.Version())
		}
		return next.asst
	}
}

// close ends the engine once no turn runs any more: a turn that saw it close would count as failed, while one that
// is only stopped goes on elsewhere as if nothing had been.
func (a *answers) close() {
	if a.engine == nil {
		return
	}
	if err := a.engine.Close(); err != nil {
		a.node.log.Warn("the model's engine did not close", "error", err)
	}
}

func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// Answer satisfies turn.Answerer.
func (a *answers) Answer(ctx context.Context, q turn.Question, at *turn.Attempt) (turn.Answer, error) {
	ans, err := a.latest().Answer(ctx, assistant.Input{
		Session: q.Session, Turn: q.Turn, Attempt: q.Attempt, Text: q.Text, Memory: q.Memory,
		History: q.History, Committed: q.Committed, Calls: q.Calls, Now: q.Now,
	}, at)
	if errors.Is(err, assistant.ErrFinal) {
		err = fmt.Errorf("%w: %w", turn.ErrFinal, err)
	}
	return turn.Answer{Text: ans.Text, Memory: ans.Memory, Source: ans.Source}, err
}
