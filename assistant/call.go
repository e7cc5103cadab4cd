package assistant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/skein-mesh/skein/session"
)

// errTool is the root of what a tool does wrong; the flow handles it, and no other attempt follows.
var errTool = errors.New("tool")

// call runs one tool for a step and gives its result. A mock that answers at once and changes nothing is
// answered here; everything else goes through the host, which keeps a side effect from happening twice.
func (t *turn) call(ctx context.Context, s *step) (value, error) {
	tool := s.tool
	mocked := t.mocked(tool)
	if mocked && !tool.sideEffect && tool.mock.delay == 0 {
		response, err := t.mockResponse(tool)
		if err != nil {
			return value{}, err
		}
		return t.keep(tool.pick(response))
	}
	call := session.Call{ID: t.callID(s), Tool: tool.name, Args: t.callArgs(tool)}
	if len(call.Args) > session.MaxPayload {
		return value{}, fmt.Errorf("%w %s: arguments of %d bytes", errTool, tool.name, len(call.Args))
	}
	if tool.sideEffect {
		call.Key = t.callKey(tool, call.ID)
		if t.unsettled(call.ID) && !tool.idempotent {
			return value{}, errUnsettled
		}
	}
	do := t.doHTTP
	if mocked {
		do = t.doMock
	}
	return t.throughHost(ctx, call, func(ctx context.Context) (string, error) { return do(ctx, tool, call.Key) })
}

// throughHost lets the host run do, or give the outcome that it has. What the tool did wrong is an errTool;
// what keeps the host from working is another error, and the turn is tried again.
func (t *turn) throughHost(ctx context.Context, call session.Call, do func(context.Context) (string, error)) (value, error) {
	var failed error
	done, err := t.host.Call(ctx, call, func(ctx context.Context) (string, error) {
		var result string
		result, failed = do(ctx)
		return result, failed
	})
	if ctx.Err() != nil {
		return value{}, fmt.Errorf("call %s: %w", call.Tool, context.Cause(ctx))
	}
	if err != nil && (failed == nil || !errors.Is(err, failed)) {
		return value{}, fmt.Errorf("call %s: %w", call.Tool, err)
	}
	if err != nil || done.Error != "" {
		return value{}, fmt.Errorf("%w %s: %s", errTool, call.Tool, done.Error)
	}
	result, err := parseJSON([]byte(done.Result))
	if err != nil {
		return value{}, fmt.Errorf("%w %s: its stored result: %w", errTool, call.Tool, err)
	}
	return result, nil
}

// errUnsettled: an earlier attempt began the call, and nobody knows how it ended.
var errUnsettled = fmt.Errorf("%w: an earlier call has no outcome", errTool)

func (t *turn) unsettled(id string) bool {
	for _, c := range t.in.Calls {
		if c.ID == id && !c.Done {
			return true
		}
	}
	return false
}

// mocked reports whether the mock stands in: there is nothing else, or a variable in the URL is not set.
func (t *turn) mocked(tool *tool) bool {
	if tool.http == nil || tool.mock == nil {
		return tool.http == nil
	}
	for _, name := range tool.http.url.variables() {
		if t.a.env(name) == "" {
			return true
		}
	}
	return t.a.deps.HTTP == nil
}

// callID is the same at every attempt of a turn, since the same memory and message take the same steps.
func (t *turn) callID(s *step) string {
	id := t.mem.top().Flow + "." + s.id
	t.calls[id]++
	if n := t.calls[id]; n > 1 {
		id = fmt.Sprintf("%s#%d", id, n)
	}
	return id
}

func (t *turn) callKey(tool *tool, id string) string {
	if tool.key != nil {
		if k := tool.key.render(t, t.a.env, nil); k != "" && len(k) <= 255 {
			return k
		}
	}
	return fmt.Sprintf("%s/%s/%s", t.in.Session, t.in.Turn, id)
}

// callArgs is what the log keeps of a call: what is sent, with the names of environment variables instead of
// their values and without headers, since those may be secret.
func (t *turn) callArgs(tool *tool) string {
	args := value{kind: objectKind, fields: map[string]value{}}
	if h := tool.http; h != nil {
		args.fields["method"] = text(h.method)
		args.fields["url"] = text(h.url.render(t, nil, escape))
		if h.json != nil {
			args.fields["json"] = h.json.fill(t, nil)
		}
	}
	return args.String()
}

func (t *turn) mockResponse(tool *tool) (value, error) {
	m := tool.mock
	if m.fail != "" {
		return value{}, fmt.Errorf("%w %s: %s", errTool, tool.name, m.fail)
	}
	if m.by != nil {
		if c, ok := m.cases[m.by.render(t, nil, nil)]; ok {
			return c.fill(t, nil), nil
		}
	}
	return m.other.fill(t, nil), nil
}

func (t *turn) doMock(ctx context.Context, tool *tool, _ string) (string, error) {
	if tool.mock.delay > 0 && !t.a.offline {
		timer := time.NewTimer(tool.mock.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	response, err := t.mockResponse(tool)
	if err != nil {
		return "", err
	}
	return t.result(tool, response)
}

// keep refuses a result that a session could not remember.
func (t *turn) keep(v value) (value, error) {
	b, err := json.Marshal(v)
	if err == nil && len(b) > maxResult {
		err = fmt.Errorf("%w: a result of %d bytes, at most %d; name what is needed in returns", errTool, len(b), maxResult)
	}
	return v, err
}

func (t *turn) result(tool *tool, response value) (string, error) {
	v, err := t.keep(tool.pick(response))
	return v.String(), err
}

// doHTTP sends the request; a tool that only reads is tried again after a short pause.
func (t *turn) doHTTP(ctx context.Context, tool *tool, key string) (string, error) {
	if t.a.deps.HTTP == nil {
		return "", fmt.Errorf("%w %s: there is no HTTP client", errTool, tool.name)
	}
	var last error
	for try := range tool.http.retries + 1 {
		if try > 0 {
			timer := time.NewTimer(100 * time.Millisecond << try)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return "", context.Cause(ctx)
			}
		}
		response, again, err := t.request(ctx, tool, key)
		if err == nil {
			return t.result(tool, response)
		}
		if last = err; !again {
			break
		}
	}
	return "", last
}

// request sends one request; again says whether the fault may pass.
func (t *turn) request(ctx context.Context, tool *tool, key string) (response value, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tool.http.timeout)
	defer cancel()
	req, err := t.newRequest(ctx, tool, key)
	if err != nil {
		return value{}, false, fmt.Errorf("%w %s: %w", errTool, tool.name, err)
	}
	client := *t.a.deps.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return value{}, true, fmt.Errorf("%w %s: %w", errTool, tool.name, withoutURL(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return value{}, true, fmt.Errorf("%w %s: %w", errTool, tool.name, err)
	case len(body) > maxBody:
		return value{}, false, fmt.Errorf("%w %s: a response over %d bytes", errTool, tool.name, maxBody)
	case resp.StatusCode == http.StatusNotFound && !tool.sideEffect:
		return value{}, false, nil // what was asked for is not there: an answer, not a fault
	case resp.StatusCode/100 != 2:
		return value{}, resp.StatusCode/100 == 5, fmt.Errorf("%w %s: status %d", errTool, tool.name, resp.StatusCode)
	case len(bytes.TrimSpace(body)) == 0:
		return value{}, false, nil
	}
	if response, err = parseJSON(body); err != nil {
		return value{}, false, fmt.Errorf("%w %s: its response: %w", errTool, tool.name, err)
	}
	return response, false, nil
}

func (t *turn) newRequest(ctx context.Context, tool *tool, key string) (*http.Request, error) {
	h := tool.http
	var body io.Reader
	if h.json != nil {
		body = strings.NewReader(h.json.fill(t, t.a.env).String())
	}
	req, err := http.NewRequestWithContext(ctx, h.method, h.url.render(t, t.a.env, escape), body)
	if err != nil {
		return nil, withoutURL(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	for name, tpl := range h.headers {
		req.Header.Set(name, strings.NewReplacer("\r", "", "\n", "").Replace(tpl.render(t, t.a.env, nil)))
	}
	return req, nil
}

// escape makes what is inserted one part of a path or a query; dots alone would walk the path.
func escape(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// withoutURL drops the address from an error of net/http: it may hold a secret, and errors are stored.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
