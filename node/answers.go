package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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
	current atomic.Pointer[assistant.Assistant]
	path    string
	stamp   string // of the file that was read last
}

// watchEvery is how often the assistant's file is looked at.
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
		a.put(shop)
		return a, nil
	}
	a.stamp = stamp(a.path)
	asst, err := a.read()
	if err != nil {
		return nil, err
	}
	a.put(asst)
	return a, nil
}

func openModel(m Model) (inference.Engine, error) {
	cfg := openai.Config{BaseURL: m.URL, Model: m.Name, Timeout: m.Timeout}
	if m.KeyFile != "" {
		key, err := os.ReadFile(m.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("model key: %w", err)
		}
		cfg.Key = string(key)
	}
	engine, err := openai.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.URL, err)
	}
	return engine, nil
}

func (a *answers) read() (*assistant.Assistant, error) {
	data, err := os.ReadFile(a.path)
	if err != nil {
		return nil, fmt.Errorf("assistant: %w", err)
	}
	return assistant.Parse(filepath.Base(a.path), data)
}

func (a *answers) put(asst *assistant.Assistant) {
	a.current.Store(asst.With(assistant.Deps{Engine: a.engine, HTTP: &http.Client{Timeout: time.Minute}, Env: os.Getenv}))
}

// run reloads the assistant's file when it changes; one that does not parse is told and changes nothing.
func (a *answers) run(ctx context.Context) error {
	if a.path == "" || !a.node.cfg.AssistantWatch {
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
		}
		now := stamp(a.path)
		if now == a.stamp || now == "" { // gone for a moment: an editor is writing it
			continue
		}
		a.stamp = now
		asst, err := a.read()
		if err != nil {
			a.node.log.Error("assistant is not reloaded", "error", err)
			continue
		}
		a.put(asst)
		a.node.log.Info("assistant reloaded", "id", asst.ID(), "version", asst.Version())
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
	ans, err := a.current.Load().Answer(ctx, assistant.Input{
		Session: q.Session, Turn: q.Turn, Attempt: q.Attempt, Text: q.Text, Memory: q.Memory,
		History: q.History, Committed: q.Committed, Calls: q.Calls, Now: q.Now,
	}, at)
	if errors.Is(err, assistant.ErrFinal) {
		err = fmt.Errorf("%w: %w", turn.ErrFinal, err)
	}
	return turn.Answer{Text: ans.Text, Memory: ans.Memory, Source: ans.Source}, err
}
