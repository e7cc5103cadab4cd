package assistant

import (
	"fmt"
	"strings"
)

// template is text with {{ expression | filter('argument') }} and, in tools, ${NAME} of the environment. What
// a user said is only ever inserted, never read as a template.
type template struct {
	parts []part
}

type part struct {
	lit     string
	env     string
	expr    *expr
	filters []filter
}

type filter struct {
	name string
	arg  string
}

// voice is what a template needs to speak: the scope, and how dates, money and names are written.
type voice interface {
	scope
	filter(f filter, v value) value
}

func parseTemplate(src string) (*template, error) {
	if len(src) > maxTemplate {
		return nil, fmt.Errorf("template: %d bytes, at most %d", len(src), maxTemplate)
	}
	t := &template{}
	for src != "" {
		i := strings.Index(src, "{{")
		j := strings.Index(src, "${")
		if i < 0 && j < 0 {
			t.parts = append(t.parts, part{lit: src})
			break
		}
		var p part
		var n int
		var err error
		if i < 0 || j >= 0 && j < i {
			i = j
			p, n, err = parseEnv(src[i:])
		} else {
			p, n, err = parseInsert(src[i:])
		}
		if err != nil {
			return nil, err
		}
		if i > 0 {
			t.parts = append(t.parts, part{lit: src[:i]})
		}
		t.parts = append(t.parts, p)
		src = src[i+n:]
	}
	return t, nil
}

func parseEnv(src string) (part, int, error) {
	end := strings.IndexByte(src, '}')
	if end < 0 {
		return part{}, 0, fmt.Errorf("template: %.20q is not closed", src)
	}
	name := src[2:end]
	if name == "" || strings.IndexFunc(name, func(r rune) bool { return r > 127 || !nameByte(byte(r)) }) >= 0 {
		return part{}, 0, fmt.Errorf("template: ${%s}: want the name of an environment variable", name)
	}
	return part{env: name}, end + 1, nil
}

func parseInsert(src string) (part, int, error) {
	end := strings.Index(src, "}}")
	if end < 0 {
		return part{}, 0, fmt.Errorf("template: %.20q is not closed", src)
	}
	pieces := strings.Split(src[2:end], "|")
	e, err := parseExpr(strings.TrimSpace(pieces[0]))
	if err != nil {
		return part{}, 0, err
	}
	p := part{expr: e}
	for _, f := range pieces[1:] {
		parsed, err := parseFilter(strings.TrimSpace(f))
		if err != nil {
			return part{}, 0, err
		}
		p.filters = append(p.filters, parsed)
	}
	return p, end + 2, nil
}

func parseFilter(src string) (filter, error) {
	name, arg, hasArg := strings.Cut(src, "(")
	f := filter{name: strings.TrimSpace(name)}
	if hasArg {
		inner, ok := strings.CutSuffix(strings.TrimSpace(arg), ")")
		if !ok {
			return f, fmt.Errorf("template: filter %.20q is not closed", src)
		}
		f.arg = strings.Trim(strings.TrimSpace(inner), `'"`)
	}
	return f, checkFilter(f)
}

// exprs calls f for every expression of t.
func (t *template) exprs(f func(*expr)) {
	for _, p := range t.parts {
		if p.expr != nil {
			f(p.expr)
		}
	}
}

// variables gives the environment variables that t names.
func (t *template) variables() []string {
	var out []string
	for _, p := range t.parts {
		if p.env != "" {
			out = append(out, p.env)
		}
	}
	return out
}

// opensHost reports whether something is inserted into the host of the URL that t writes.
func (t *template) opensHost() bool {
	for _, p := range t.parts {
		if p.expr != nil {
			return true
		}
		_, behind, found := strings.Cut(p.lit, "://")
		if !found {
			behind = p.lit
		}
		if strings.ContainsAny(behind, "/?#") {
			return false
		}
	}
	return false
}

// value gives the value itself when t is one insertion alone, so that a number stays a number; text otherwise.
func (t *template) value(v voice) value {
	if len(t.parts) == 1 && t.parts[0].expr != nil {
		return t.parts[0].insert(v)
	}
	return text(t.render(v, nil, nil))
}

// render writes t. escape, if set, is applied to what is inserted; env gives environment variables, whose
// names stay as they are when it is nil.
func (t *template) render(v voice, env, escape func(string) string) string {
	if len(t.parts) == 1 && t.parts[0].expr == nil && t.parts[0].env == "" {
		return t.parts[0].lit
	}
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.expr != nil:
			s := p.insert(v).String()
			if escape != nil {
				s = escape(s)
			}
			b.WriteString(s)
		case p.env != "" && env != nil:
			b.WriteString(env(p.env))
		case p.env != "":
			b.WriteString("${" + p.env + "}")
		default:
			b.WriteString(p.lit)
		}
	}
	return b.String()
}

func (p part) insert(v voice) value {
	x := p.expr.eval(v)
	for _, f := range p.filters {
		x = v.filter(f, x)
	}
	return x
}
