package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/skein-mesh/skein/inference"
)

const maxListBytes = 4 << 20 // of the answer of /models

// modelList is the answer of GET /models.
type modelList struct {
	Data []struct {
		ID      string `json:"id"`
		OwnedBy string `json:"owned_by"`
	} `json:"data"`
}

// Servers that name themselves as the owner of their models and go on behind an assistant message.
var prefilling = []string{"vllm", "sglang", "llamacpp"}

// Load asks the server for its models. An empty name means Config.Model, and the first one listed where that is
// empty too. A name that is not listed is refused. A server without /models is believed to have whatever is asked
// for.
func (e *Engine) Load(ctx context.Context, model string) error {
	if e.ctx.Err() != nil {
		return inference.ErrClosed
	}
	list, err := e.list(ctx)
	if err != nil {
		return e.wrap(err)
	}
	if model == "" {
		model = e.cfg.Model
	}
	name, owner, err := list.pick(model)
	if err != nil {
		return e.wrap(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.model, e.prefills = name, slices.Contains(prefilling, strings.ToLower(owner))
	return nil
}

func (e *Engine) list(ctx context.Context) (*modelList, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	req, err := e.request(ctx, http.MethodGet, "models", nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.cfg.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return nil, nil
	default:
		return nil, e.refusal(resp)
	}
	list := new(modelList)
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxListBytes)).Decode(list); err != nil {
		return nil, fmt.Errorf("list models: the answer is not the JSON of /models (is the base URL right?): %w", err)
	}
	return list, nil
}

// pick finds the model of that name, or the first; a nil list knows every name.
func (l *modelList) pick(model string) (name, owner string, err error) {
	switch {
	case l == nil && model == "":
		return "default", "", nil
	case l == nil:
		return model, "", nil
	}
	var known []string
	for _, m := range l.Data {
		// Ollama lists NAME:latest and takes NAME.
		if m.ID != "" && (model == "" || m.ID == model || m.ID == model+":latest") {
			return m.ID, m.OwnedBy, nil
		}
		if len(known) < 5 {
			known = append(known, fmt.Sprintf("%.80q", m.ID))
		}
	}
	if len(known) == 0 {
		return "", "", fmt.Errorf("%w: it has no model loaded", inference.ErrRefused)
	}
	return "", "", fmt.Errorf("%w: no model %q; it has %s", inference.ErrRefused, model, strings.Join(known, ", "))
}

func (e *Engine) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.base.JoinPath(path).String(), body)
	if err != nil {
		return nil, err
	}
	if e.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+e.cfg.Key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "text/event-stream, application/json")
	}
	req.Header.Set("User-Agent", "skein")
	return req, nil
}
