package assistant

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	call, err := t.callOf(tool, t.callID(s))
	if err != nil {
		return value{}, err
	}
	do := t.doHTTP
	if mocked {
		do = t.doMock
	}
	return t.throughHost(ctx, call, func(ctx context.Context) (string, error) { return do(ctx, tool, call) })
}

// callOf gives the call as it stands in the log: a side effect that an earlier attempt began keeps the key and
// the arguments that were committed then, since what they are made of may read otherwise by now.
func (t *turn) callOf(tool *tool, id string) (session.Call, error) {
	args := t.callArgs(tool)
	if tool.sideEffect {
		if begun, ok := t.begun(id); ok {
			return begun, tool.repeats(begun, args.String())
		}
	}
	if err := staysInside(args.fields["url"].text); err != nil {
		return session.Call{}, fmt.Errorf("%w %s: %w", errTool, tool.name, err)
	}
	call := session.Call{ID: id, Tool: tool.name, Args: args.String()}
	if len(call.Args) > session.MaxPayload {
		return call, fmt.Errorf("%w %s: arguments of %d bytes", errTool, tool.name, len(call.Args))
	}
	if tool.sideEffect {
		call.Key = t.callKey(tool, id)
	}
	return call, nil
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

// begun gives the call of an earlier attempt that has no outcome.
func (t *turn) begun(id string) (session.Call, bool) {
	i := slices.IndexFunc(t.in.Calls, func(c session.Call) bool { return c.ID == id && !c.Done })
	if i < 0 {
		return session.Call{}, false
	}
	return t.in.Calls[i], true
}

// repeats reports whether a call that was begun may be made again: its receiver knows the key, and what was
// sent can be sent again byte for byte. args is what would be sent now.
func (tool *tool) repeats(begun session.Call, args string) error {
	if !tool.idempotent || begun.Key == "" || begun.Tool != tool.name {
		return errUnsettled
	}
	if begun.Args != args && tool.http != nil && tool.http.json.secret() {
		return errUnsettled // the log has names where the body had values, and what a user said may look like one
	}
	return nil
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
func (t *turn) callArgs(tool *tool) value {
	args := value{kind: objectKind, fields: map[string]value{}}
	if h := tool.http; h != nil {
		args.fields["method"] = text(h.method)
		args.fields["url"] = text(h.url.render(t, nil, escape))
		if h.json != nil {
			args.fields["json"] = h.json.fill(t, nil)
		}
	}
	return args
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

func (t *turn) doMock(ctx context.Context, tool *tool, _ session.Call) (string, error) {
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
	b, err := v.MarshalJSON()
	if err == nil && len(b) > maxResult {
		err = fmt.Errorf("%w: a result of %d bytes, at most %d; name what is needed in returns", errTool, len(b), maxResult)
	}
	return v, err
}

func (t *turn) result(tool *tool, response value) (string, error) {
	v, err := t.keep(tool.pick(response))
	if err != nil {
		return "", err
	}
	b, err := v.MarshalJSON() // not String, which writes a text without quotes and nil as nothing
	return string(b), err
}
