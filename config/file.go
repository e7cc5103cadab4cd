package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxFile  = 256 << 10 // bytes
	maxDepth = 100       // the parser recurses
)

// document collects what a file sets.
type document struct {
	path   string
	base   string
	values map[string][]item
	faults *Faults
}

// readFile gives the values of a file by key, nil when it cannot be read as YAML. What is wrong with it goes to faults.
func readFile(path string, faults *Faults) map[string][]item {
	d := &document{path: path, base: filepath.Dir(path), values: map[string][]item{}, faults: faults}
	data, err := readBounded(path)
	if err != nil {
		reason := err
		if p, ok := errors.AsType[*os.PathError](err); ok {
			reason = p.Err
		}
		faults.add(path, "", "cannot be read (%v): name a readable file with --config", reason)
		return nil
	}
	if !d.parse(data) {
		return nil
	}
	return d.values
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	return data, err
}

func (d *document) parse(data []byte) bool {
	if tooDeep(data) {
		d.faults.add(d.path, "", "nested more than %d deep: no key needs that", maxDepth)
		return false
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		where, problem := d.path, err.Error()
		if y, ok := errors.AsType[yaml.Error](err); ok {
			where, problem = d.at(y.GetToken()), y.GetMessage()
		}
		d.faults.add(where, "", "not YAML: %s", firstLine(problem))
		return false
	}
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 {
			d.faults.add(d.at(doc.Body.GetToken()), "", "a second document: put everything into one")
			return false
		}
		d.section("", doc.Body)
	}
	return true
}

// tooDeep reports whether brackets, or dashes on one line, nest deeper than maxDepth. It looks at quoted text and
// comments too, which only makes it stricter.
func tooDeep(data []byte) bool {
	open, dashes := 0, 0
	for _, c := range data {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '-', '?':
			dashes++
		case '\n':
			dashes = 0
		}
		if open > maxDepth || dashes > 2*maxDepth {
			return true
		}
	}
	return false
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (d *document) at(t *token.Token) string {
	if t == nil || t.Position == nil {
		return d.path
	}
	return fmt.Sprintf("%s:%d", d.path, t.Position.Line)
}

// section reads the keys below name; "" is the top.
func (d *document) section(name string, n ast.Node) {
	entries, ok := n.(ast.MapNode)
	if !ok {
		if !isNull(n) && n.Type() != ast.CommentGroupType {
			d.faults.add(d.at(n.GetToken()), name, "want keys with values here: %s", strings.Join(children(name), ", "))
		}
		return
	}
	for it := entries.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		d.entry(name, key, it.Value())
	}
}

func (d *document) entry(section string, key *token.Token, value ast.Node) {
	full := join(section, key.Value)
	parent, name := cutLast(full)
	s := find(full)
	switch {
	case s != nil && parent != section:
		d.faults.add(d.at(key), full, "write %s below %s", name, parent)
		return
	case s != nil:
		d.value(s, key, value)
		return
	case name != "" && parent == section && len(children(full)) > 0:
		d.section(full, value)
		return
	}
	d.faults.add(d.at(key), fmt.Sprintf("%.80s", full), "%s", unknown(section, key.Value))
}

// cutLast gives the section and the last name of a key.
func cutLast(key string) (section, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

func (d *document) value(s *setting, key *token.Token, n ast.Node) {
	where := d.at(key)
	if isNull(n) {
		return
	}
	var items []item
	switch s.shape {
	case list:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.faults.add(where, s.key, "want a list: each item on a line of its own behind a dash")
			return
		}
		for _, v := range seq.Values {
			items = d.scalar(s, items, "", v)
		}
	case table:
		entries, ok := n.(ast.MapNode)
		if !ok {
			d.faults.add(where, s.key, "want a table: each entry NAME: VALUE on a line of its own")
			return
		}
		for it := entries.MapRange(); it.Next(); {
			items = d.scalar(s, items, it.Key().GetToken().Value, it.Value())
		}
	default:
		items = d.scalar(s, items, "", n)
	}
	if len(items) > maxItems {
		d.faults.add(where, s.key, "%d items, want at most %d", len(items), maxItems)
		return
	}
	d.values[s.key] = items
}

// scalar appends one value, as it was written; empty ones count as not set.
func (d *document) scalar(s *setting, items []item, name string, n ast.Node) []item {
	text := ""
	switch v := n.(type) {
	case *ast.StringNode:
		text = v.Value
	case *ast.LiteralNode:
		text = strings.TrimSpace(v.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value // the node's own value may have lost how it was written
	default:
		if !isNull(n) {
			d.faults.add(d.at(n.GetToken()), s.key, "want a plain value")
		} else if s.shape != scalar {
			d.faults.add(d.at(n.GetToken()), s.key, "an item is empty: remove it or give it a value")
		}
		return items
	}
	if text == "" && s.shape == scalar {
		return items
	}
	return append(items, item{name: name, text: text, where: d.at(n.GetToken()), base: d.base})
}

func isNull(n ast.Node) bool { return n == nil || n.Type() == ast.NullType }
