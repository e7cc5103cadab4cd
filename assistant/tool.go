package assistant

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// tool is something outside that a flow may call, over HTTP or as a mock.
type tool struct {
	name       string
	http       *httpTool
	mock       *mockTool
	returns    map[string][]string // name in result -> path in the response; nil: the whole response
	sideEffect bool
	idempotent bool // an intent without an outcome may be called again with the same key
	key        *template
}

type httpTool struct {
	method  string
	url     *template
	headers map[string]*template
	json    *payload
	timeout time.Duration
	retries int
}

// mockTool answers in place of the HTTP tool when a variable in its URL is not set, or when there is none.
type mockTool struct {
	delay time.Duration
	by    *template // chooses a case
	cases map[string]*payload
	other *payload
	fail  string
}

// payload is JSON with templates in its strings.
type payload struct {
	lit    value
	tpl    *template
	list   []*payload
	fields map[string]*payload
	keys   []string // of fields, in order
}

var toolRoots = []string{"slots", "result", "session", "intent", "lang", "now"}

func (d *decoder) tools(n ast.Node, def *definition) {
	for i, e := range d.entries(n, "tools") {
		if i >= maxTools {
			d.fault(e.at, "more than %d tools", maxTools)
			return
		}
		t := &tool{name: e.key}
		def.tools[e.key] = t
		what := "tool " + e.key
		if !validID(e.key) {
			d.fault(e.at, "%s: want 1 to 64 small letters, digits, '-' or '_'", what)
		}
		d.object(e.val, what, append([]field{
			{"http", func(n ast.Node) { d.httpTool(n, what, t, def) }},
			{"mock", func(n ast.Node) { d.mockTool(n, what, t, def) }},
			{"returns", func(n ast.Node) { d.returns(n, what, t) }},
			{"side_effect", func(n ast.Node) { t.sideEffect = d.boolean(n, what+": side_effect") }},
			{"idempotent", func(n ast.Node) { t.idempotent = d.boolean(n, what+": idempotent") }},
		}, later("mcp", "compensate", "allow_hosts", "max_per_session")...)...)
		if t.http == nil && t.mock == nil {
			d.fault(e.at, "%s: neither http nor mock", what)
		}
		if t.http != nil && !t.sideEffect && t.http.method != http.MethodGet && t.http.method != http.MethodHead {
			d.fault(e.at, "%s: %s changes something; say side_effect: true", what, t.http.method)
		}
		if t.http != nil && t.sideEffect && t.http.retries > 0 {
			d.fault(e.at, "%s: retries are for tools that only read", what)
		}
	}
}

func (d *decoder) httpTool(n ast.Node, what string, t *tool, def *definition) {
	h := &httpTool{method: http.MethodGet, headers: map[string]*template{}, timeout: defaultTimeout}
	t.http = h
	what += ": http"
	d.object(n, what,
		field{"method", func(n ast.Node) {
			h.method = d.choice(n, what+": method", http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
		}},
		field{"url", func(n ast.Node) {
			h.url = d.template(n, d.text(n, what+": url"), what+": url", def, toolRoots)
			if h.url != nil && h.url.opensHost() {
				d.fault(n, "%s: url: what is inserted stands behind the host and a '/'", what)
			}
		}},
		field{"headers", func(n ast.Node) {
			for _, e := range d.entries(n, what+": headers") {
				h.headers[e.key] = d.template(e.val, d.text(e.val, what+": headers"), what+": headers", def, toolRoots)
			}
		}},
		field{"json", func(n ast.Node) { h.json = d.payload(n, what+": json", def, 0) }},
		field{"timeout", func(n ast.Node) { h.timeout = d.duration(n, what+": timeout", maxTimeout) }},
		field{"retries", func(n ast.Node) { h.retries = min(d.integer(n, what+": retries", 0), maxRetries) }},
		field{"idempotency_key", func(n ast.Node) {
			d.key(n, what+": idempotency_key", t, def)
		}})
	if h.url == nil {
		d.fault(n, "%s: the url is missing", what)
		h.url = &template{}
	}
}

// key reads the template of an idempotency key. The time, and the result of a tool that only reads, are others at
// a second attempt, which would then make a second call.
func (d *decoder) key(n ast.Node, what string, t *tool, def *definition) {
	t.key = d.template(n, d.text(n, what), what, def, toolRoots)
	if t.key == nil {
		return
	}
	t.key.exprs(func(e *expr) {
		e.paths(func(path []string) {
			if path[0] == "now" || path[0] == "result" {
				d.fault(n, "%s: %s may differ at a second attempt of the turn; name session and slots", what, path[0])
			}
		})
	})
}

// mockTool reads a mock. The keys delay, by, cases and fail steer it; all others are its response.
func (d *decoder) mockTool(n ast.Node, what string, t *tool, def *definition) {
	m := &mockTool{cases: map[string]*payload{}, other: &payload{fields: map[string]*payload{}}}
	t.mock = m
	what += ": mock"
	for _, e := range d.entries(n, what) {
		switch e.key {
		case "delay":
			m.delay = d.duration(e.val, what+": delay", maxTimeout)
		case "by":
			m.by = d.template(e.val, d.text(e.val, what+": by"), what+": by", def, toolRoots)
		case "cases":
			for _, c := range d.entries(e.val, what+": cases") {
				m.cases[c.key] = d.payload(c.val, what+": "+c.key, def, 0)
			}
		case "fail":
			m.fail = d.text(e.val, what+": fail")
		default:
			m.other.add(e.key, d.payload(e.val, what, def, 0))
		}
	}
	if len(m.cases) > 0 && m.by == nil {
		d.fault(n, "%s: cases need by, a template that chooses one", what)
	}
}

func (d *decoder) payload(n ast.Node, what string, def *definition, depth int) *payload {
	if depth > maxJSONDepth {
		d.fault(n, "%s: nested too deeply", what)
		return &payload{}
	}
	switch x := n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		if tpl := d.template(n, d.text(n, what), what, def, toolRoots); tpl != nil {
			return &payload{tpl: tpl}
		}
		return &payload{}
	case *ast.SequenceNode:
		p := &payload{list: []*payload{}}
		for _, i := range x.Values {
			p.list = append(p.list, d.payload(i, what, def, depth+1))
		}
		return p
	case *ast.MappingNode, *ast.MappingValueNode:
		p := &payload{fields: map[string]*payload{}}
		for _, e := range d.entries(n, what) {
			p.add(e.key, d.payload(e.val, what, def, depth+1))
		}
		return p
	}
	return &payload{lit: d.value(n, what, depth)}
}

func (p *payload) add(name string, f *payload) {
	p.fields[name] = f
	p.keys = append(p.keys, name)
	slices.Sort(p.keys)
}

// secret reports whether p names a variable of the environment.
func (p *payload) secret() bool {
	if p == nil {
		return false
	}
	return p.tpl != nil && len(p.tpl.variables()) > 0 || slices.ContainsFunc(p.list, (*payload).secret) ||
		slices.ContainsFunc(p.keys, func(k string) bool { return p.fields[k].secret() })
}

// fill gives the payload with its templates written. env may be nil.
func (p *payload) fill(v voice, env func(string) string) value {
	switch {
	case p == nil:
		return value{}
	case p.tpl != nil:
		if len(p.tpl.variables()) == 0 {
			return p.tpl.value(v)
		}
		return text(p.tpl.render(v, env, nil))
	case p.list != nil:
		out := value{kind: listKind, list: make([]value, len(p.list))}
		for i := range p.list {
			out.list[i] = p.list[i].fill(v, env)
		}
		return out
	case p.fields != nil:
		out := value{kind: objectKind, fields: make(map[string]value, len(p.fields))}
		for _, k := range p.keys {
			out.fields[k] = p.fields[k].fill(v, env)
		}
		return out
	}
	return p.lit
}

// returns reads names with paths such as "$.order.items[0].name".
func (d *decoder) returns(n ast.Node, what string, t *tool) {
	t.returns = map[string][]string{}
	for _, e := range d.entries(n, what+": returns") {
		path, ok := parsePath(d.text(e.val, what+": returns"))
		if !ok {
			d.fault(e.val, "%s: returns: want a path such as $.order.items[0].name", what)
		}
		t.returns[e.key] = path
	}
}

func parsePath(s string) ([]string, bool) {
	rest, ok := strings.CutPrefix(s, "$")
	var path []string
	for ok && rest != "" {
		if inner, found := strings.CutPrefix(rest, "["); found {
			index, after, closed := strings.Cut(inner, "]")
			i, err := strconv.Atoi(index)
			ok = closed && err == nil && i >= 0
			path, rest = append(path, index), after
			continue
		}
		inner, found := strings.CutPrefix(rest, ".")
		n := strings.IndexAny(inner, ".[")
		if n < 0 {
			n = len(inner)
		}
		ok = found && n > 0
		path, rest = append(path, inner[:n]), inner[n:]
	}
	return path, ok && len(path) <= maxJSONDepth
}

// pick takes what returns names out of a response.
func (t *tool) pick(response value) value {
	if t.returns == nil {
		return response
	}
	out := value{kind: objectKind, fields: make(map[string]value, len(t.returns))}
	for name, path := range t.returns {
		out.fields[name] = response.at(path)
	}
	return out
}
