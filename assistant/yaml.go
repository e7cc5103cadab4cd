package assistant

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder walks the syntax tree of one file and collects every fault, so that an author sees all of them.
type decoder struct {
	name   string
	faults Faults
}

// entry is one key of a mapping with its value.
type entry struct {
	key string
	at  ast.Node
	val ast.Node
}

// field is a key that a mapping may have.
type field struct {
	name string
	read func(ast.Node)
}

// later marks keys that the format names and this version does not carry out yet.
func later(names ...string) []field {
	fields := make([]field, len(names))
	for i, n := range names {
		fields[i] = field{name: n}
	}
	return fields
}

func (d *decoder) fault(at ast.Node, format string, args ...any) {
	f := Fault{File: d.name, Text: fmt.Sprintf(format, args...)}
	if at != nil && at.GetToken() != nil && at.GetToken().Position != nil {
		f.Line, f.Column = at.GetToken().Position.Line, at.GetToken().Position.Column
	}
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, f)
	}
}

// parseYAML gives the only document of data, nil after a fault.
func (d *decoder) parseYAML(data []byte) ast.Node {
	if len(data) > maxFile {
		d.fault(nil, "%d bytes; a definition has at most %d", len(data), maxFile)
		return nil
	}
	if line := tooDeep(data); line > 0 {
		d.faults = append(d.faults, Fault{File: d.name, Line: line, Column: 1, Text: "nested too deeply"})
		return nil
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		d.syntax(err)
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			d.fault(doc.Body, "a second YAML document; a definition is one")
			return nil
		}
		root = doc.Body
	}
	if root == nil {
		d.fault(nil, "empty; a definition has at least the section assistant")
	}
	return root
}

func (d *decoder) syntax(err error) {
	f := Fault{File: d.name, Text: err.Error()}
	if e, ok := errors.AsType[yaml.Error](err); ok {
		f.Text = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
	}
	d.faults = append(d.faults, f)
}

// tooDeep gives the first line that nests beyond the limit, 0 when there is none. The YAML parser recurses
// once for each level, so depth is bounded before it runs.
func tooDeep(data []byte) int {
	open, line, column, leading := 0, 1, 0, true
	for _, c := range data {
		switch c {
		case '\n':
			line, column, leading = line+1, 0, true
			continue
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		}
		if leading && c != ' ' && c != '-' && c != '?' && c != '\t' && c != ':' {
			leading = false
		}
		column++
		if leading && column > maxNesting || open > maxNesting {
			return line
		}
	}
	return 0
}

// entries reads a mapping.
func (d *decoder) entries(n ast.Node, what string) []entry {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.fault(n, "%s: want a mapping, got %s", what, describe(n))
		return nil
	}
	list := make([]entry, 0, len(values))
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		key, ok := scalar(v.Key)
		if !ok {
			d.fault(v.Key, "%s: the key must be plain text", what)
			continue
		}
		if seen[key] {
			d.fault(v.Key, "%s: %q is there twice", what, key)
			continue
		}
		seen[key] = true
		list = append(list, entry{key: key, at: v.Key, val: v.Value})
	}
	return list
}

// object reads a mapping whose keys are known; others are refused with the nearest known one.
func (d *decoder) object(n ast.Node, what string, fields ...field) {
	for _, e := range d.entries(n, what) {
		d.known(e, what, fields)
	}
}

func (d *decoder) known(e entry, what string, fields []field) {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		if f.name == e.key {
			if f.read == nil {
				d.fault(e.at, "%s: %q is not yet supported by this version", what, e.key)
				return
			}
			f.read(e.val)
			return
		}
		names = append(names, f.name)
	}
	if near := nearest(e.key, names); near != "" {
		d.fault(e.at, "%s: unknown key %q; did you mean %q?", what, e.key, near)
		return
	}
	d.fault(e.at, "%s: unknown key %q; known are %s", what, e.key, strings.Join(names, ", "))
}

// items reads a sequence.
func (d *decoder) items(n ast.Node, what string) []ast.Node {
	if s, ok := n.(*ast.SequenceNode); ok {
		return s.Values
	}
	d.fault(n, "%s: want a list, got %s", what, describe(n))
	return nil
}

// text reads a scalar as it is written.
func (d *decoder) text(n ast.Node, what string) string {
	s, ok := scalar(n)
	if !ok {
		d.fault(n, "%s: want text, got %s", what, describe(n))
	}
	return s
}

// list reads one text or a sequence of them.
func (d *decoder) list(n ast.Node, what string) []string {
	if _, ok := n.(*ast.SequenceNode); !ok {
		if s := d.text(n, what); s != "" {
			return []string{s}
		}
		return nil
	}
	var out []string
	for _, v := range d.items(n, what) {
		out = append(out, d.text(v, what))
	}
	return out
}

func (d *decoder) boolean(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.fault(n, "%s: want true or false, got %s", what, describe(n))
		return false
	}
	return b.Value
}

func (d *decoder) number(n ast.Node, what string) float64 {
	s, _ := scalar(n)
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f || f > 1e15 || f < -1e15 {
		d.fault(n, "%s: want a number, got %s", what, describe(n))
		return 0
	}
	return f
}

// integer reads a whole number of at least low.
func (d *decoder) integer(n ast.Node, what string, low int) int {
	s, _ := scalar(n)
	i, err := strconv.Atoi(s)
	if err != nil || i < low || i > 1<<30 {
		d.fault(n, "%s: want a whole number of at least %d, got %s", what, low, describe(n))
		return low
	}
	return i
}

// duration reads a time span such as 3s, at most the given one.
func (d *decoder) duration(n ast.Node, what string, most time.Duration) time.Duration {
	s, _ := scalar(n)
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 || v > most {
		d.fault(n, "%s: want a duration such as 3s, at most %s, got %s", what, most, describe(n))
		return 0
	}
	return v
}

// scalar gives the text of a plain, quoted or block scalar; numbers and booleans as they are written.
func scalar(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(s.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode, *ast.AnchorNode, *ast.MergeKeyNode:
		return "an anchor or alias, which definitions do not use"
	case *ast.TagNode:
		return "a tag, which definitions do not use"
	}
	if s, ok := scalar(n); ok {
		return fmt.Sprintf("%.40q", s)
	}
	return "something else"
}
