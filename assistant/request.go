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

// doHTTP sends the request; a tool that only reads is tried again after a short pause.
func (t *turn) doHTTP(ctx context.Context, tool *tool, call session.Call) (string, error) {
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
		response, again, err := t.request(ctx, tool, call)
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
func (t *turn) request(ctx context.Context, tool *tool, call session.Call) (response value, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tool.http.timeout)
	defer cancel()
	req, err := t.newRequest(ctx, tool, call)
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

// newRequest writes the request of a call. What the call has stands for what its templates would give now; only
// the environment's values and the headers are not in it.
func (t *turn) newRequest(ctx context.Context, tool *tool, call session.Call) (*http.Request, error) {
	h := tool.http
	var args struct {
		Method, URL string
		JSON        json.RawMessage
	}
	if err := json.Unmarshal([]byte(call.Args), &args); err != nil {
		return nil, fmt.Errorf("its arguments: %w", err)
	}
	if h.json.secret() { // as it was sent before: repeats saw to it
		var err error
		if args.JSON, err = h.json.fill(t, t.a.env).MarshalJSON(); err != nil {
			return nil, err
		}
	}
	var body io.Reader
	if args.JSON != nil {
		body = bytes.NewReader(args.JSON)
	}
	// Where a URL says ${NAME}, its template does: what is inserted is escaped.
	var names []string
	for _, name := range h.url.variables() {
		names = append(names, "${"+name+"}", t.a.env(name))
	}
	addr := strings.NewReplacer(names...).Replace(args.URL)
	req, err := http.NewRequestWithContext(ctx, args.Method, addr, body)
	if err != nil {
		return nil, withoutURL(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if call.Key != "" {
		req.Header.Set("Idempotency-Key", call.Key)
	}
	for name, tpl := range h.headers {
		req.Header.Set(name, strings.NewReplacer("\r", "", "\n", "").Replace(tpl.render(t, t.a.env, nil)))
	}
	return req, nil
}

// escape makes what is inserted one part of a path or a query; staysInside looks at what it cannot mend.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// staysInside refuses an address whose path has a segment of dots alone. Escaping them would not help: "%2E%2E"
// is the same as ".." (RFC 3986, section 6.2.2), and some servers also take "%2F" for a slash.
func staysInside(addr string) error {
	path, _, _ := strings.Cut(addr, "#")
	path, _, _ = strings.Cut(path, "?")
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return fmt.Errorf("its URL: %w", err)
		}
		for part := range strings.FieldsFuncSeq(plain, func(r rune) bool { return r == '/' || r == '\\' }) {
			if strings.Trim(part, ".") == "" {
				return errors.New("its URL would walk the path")
			}
		}
	}
	return nil
}

// withoutURL drops the address from an error of net/http: it may hold a secret, and errors are stored.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
