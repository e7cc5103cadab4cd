package assistant

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// expr is one node of an expression: a literal, a path, or an operator over its operands. Expressions have
// no calls, loops or assignments; each one ends in time linear in its length.
type expr struct {
	op   string // "", "path", "or", "and", "not", "==", "!=", "<", "<=", ">", ">="
	lit  value
	path []string
	kids []*expr
}

// scope gives the values that a path begins with.
type scope interface{ lookup(path []string) value }

// errExpr is the root of every syntax error of an expression.
var errExpr = errors.New("expression")

type exprParser struct {
	src   string
	pos   int
	depth int
}

// parseExpr reads `slots.order == nil and result.left >= 1`. Operators from weak to strong: or, and, not,
// comparison. Strings stand in single or double quotes.
func parseExpr(src string) (*expr, error) {
	if len(src) > maxExpr {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errExpr, len(src), maxExpr)
	}
	p := &exprParser{src: src}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.skip(); p.pos < len(p.src) {
		return nil, p.fail("unexpected %.20q", p.src[p.pos:])
	}
	return e, nil
}

func (p *exprParser) fail(format string, args ...any) error {
	return fmt.Errorf("%w: at character %d: %s", errExpr, p.pos+1, fmt.Sprintf(format, args...))
}

func (p *exprParser) skip() {
	for p.pos < len(p.src) && strings.IndexByte(" \t\n\r", p.src[p.pos]) >= 0 {
		p.pos++
	}
}

// word takes the given keyword when it comes next.
func (p *exprParser) word(w string) bool {
	p.skip()
	rest := p.src[p.pos:]
	if !strings.HasPrefix(rest, w) || len(rest) > len(w) && nameByte(rest[len(w)]) {
		return false
	}
	p.pos += len(w)
	return true
}

func nameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func (p *exprParser) or() (*expr, error) {
	return p.chain("or", func() (*expr, error) { return p.chain("and", p.not) })
}

func (p *exprParser) chain(op string, operand func() (*expr, error)) (*expr, error) {
	left, err := operand()
	for err == nil && p.word(op) {
		var right *expr
		if right, err = operand(); err == nil {
			left = &expr{op: op, kids: []*expr{left, right}}
		}
	}
	return left, err
}

func (p *exprParser) not() (*expr, error) {
	if !p.word("not") {
		return p.comparison()
	}
	if p.depth++; p.depth > maxExprDepth {
		return nil, p.fail("nested too deeply")
	}
	e, err := p.not()
	p.depth--
	return &expr{op: "not", kids: []*expr{e}}, err
}

func (p *exprParser) comparison() (*expr, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	p.skip()
	for _, op := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if strings.HasPrefix(p.src[p.pos:], op) {
			p.pos += len(op)
			right, err := p.operand()
			return &expr{op: op, kids: []*expr{left, right}}, err
		}
	}
	return left, nil
}

func (p *exprParser) operand() (*expr, error) {
	p.skip()
	if p.pos >= len(p.src) {
		return nil, p.fail("a value is missing")
	}
	switch c := p.src[p.pos]; {
	case c == '(':
		return p.group()
	case c == '"' || c == '\'':
		return p.quoted(c)
	case c == '-' || c >= '0' && c <= '9':
		return p.numeral()
	case nameByte(c):
		return p.name()
	}
	return nil, p.fail("unexpected %.20q", p.src[p.pos:])
}

func (p *exprParser) group() (*expr, error) {
	if p.depth++; p.depth > maxExprDepth {
		return nil, p.fail("nested too deeply")
	}
	p.pos++
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	p.depth--
	if p.skip(); p.pos >= len(p.src) || p.src[p.pos] != ')' {
		return nil, p.fail("a closing parenthesis is missing")
	}
	p.pos++
	return e, nil
}

func (p *exprParser) quoted(q byte) (*expr, error) {
	end := strings.IndexByte(p.src[p.pos+1:], q)
	if end < 0 {
		return nil, p.fail("a closing quote is missing")
	}
	s := p.src[p.pos+1 : p.pos+1+end]
	p.pos += end + 2
	return &expr{lit: text(s)}, nil
}

func (p *exprParser) numeral() (*expr, error) {
	start := p.pos
	for p.pos++; p.pos < len(p.src) && (p.src[p.pos] == '.' || p.src[p.pos] >= '0' && p.src[p.pos] <= '9'); {
		p.pos++
	}
	n, err := strconv.ParseFloat(p.src[start:p.pos], 64)
	if err != nil {
		p.pos = start
		return nil, p.fail("not a number")
	}
	return &expr{lit: number(n)}, nil
}

func (p *exprParser) name() (*expr, error) {
	start := p.pos
	for p.pos < len(p.src) && (p.src[p.pos] == '.' || nameByte(p.src[p.pos])) {
		p.pos++
	}
	switch name := p.src[start:p.pos]; name {
	case "nil", "null":
		return &expr{}, nil
	case "true", "false":
		return &expr{lit: truth(name == "true")}, nil
	case "and", "or", "not":
		p.pos = start
		return nil, p.fail("%q where a value should be", name)
	default:
		path := strings.Split(name, ".")
		for _, part := range path {
			if part == "" {
				p.pos = start
				return nil, p.fail("%q has an empty part", name)
			}
		}
		return &expr{op: "path", path: path}, nil
	}
}

// paths calls f for every path of e.
func (e *expr) paths(f func([]string)) {
	if e.op == "path" {
		f(e.path)
	}
	for _, k := range e.kids {
		k.paths(f)
	}
}

// eval never fails: a path that leads nowhere is nil, and values of different kinds have no order.
func (e *expr) eval(s scope) value {
	switch e.op {
	case "":
		return e.lit
	case "path":
		return s.lookup(e.path)
	case "or":
		return truth(e.kids[0].eval(s).true() || e.kids[1].eval(s).true())
	case "and":
		return truth(e.kids[0].eval(s).true() && e.kids[1].eval(s).true())
	case "not":
		return truth(!e.kids[0].eval(s).true())
	}
	return truth(compare(e.op, e.kids[0].eval(s), e.kids[1].eval(s)))
}

func compare(op string, a, b value) bool {
	switch op {
	case "==":
		return a.equal(b)
	case "!=":
		return !a.equal(b)
	}
	var order int
	switch {
	case a.kind == numberKind && b.kind == numberKind:
		order = cmp.Compare(a.number, b.number)
	case a.kind == textKind && b.kind == textKind:
		order = cmp.Compare(a.text, b.text)
	default:
		return false
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}
