package assistant

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

type kind uint8

const (
	nilKind kind = iota
	textKind
	numberKind
	boolKind
	listKind
	objectKind
)

// value is what slots, results and expressions hold: the values of JSON. A value is never changed once made.
type value struct {
	kind   kind
	text   string
	number float64
	truth  bool
	list   []value
	fields map[string]value
}

func text(s string) value    { return value{kind: textKind, text: s} }
func number(n float64) value { return value{kind: numberKind, number: n} }
func truth(b bool) value     { return value{kind: boolKind, truth: b} }

// IsZero makes encoding/json leave out what is nil.
func (v value) IsZero() bool { return v.kind == nilKind }

// true reports what a condition takes v for: everything but nil and false.
func (v value) true() bool { return v.kind != nilKind && (v.kind != boolKind || v.truth) }

// field gives a member of an object, or an element of a list by its index; nil when there is none.
func (v value) field(name string) value {
	switch v.kind {
	case objectKind:
		return v.fields[name]
	case listKind:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v.list) {
			return v.list[i]
		}
	}
	return value{}
}

func (v value) at(path []string) value {
	for _, p := range path {
		v = v.field(p)
	}
	return v
}

func (v value) equal(w value) bool {
	if v.kind != w.kind {
		return false
	}
	return v.text == w.text && v.number == w.number && v.truth == w.truth &&
		slices.EqualFunc(v.list, w.list, value.equal) && maps.EqualFunc(v.fields, w.fields, value.equal)
}

// String gives v as a reply shows it.
func (v value) String() string {
	switch v.kind {
	case textKind:
		return v.text
	case numberKind:
		return strconv.FormatFloat(v.number, 'f', -1, 64)
	case boolKind:
		return strconv.FormatBool(v.truth)
	case listKind, objectKind:
		b, _ := v.MarshalJSON()
		return string(b)
	}
	return ""
}

// MarshalJSON writes objects with sorted keys, so that equal values have equal bytes.
func (v value) MarshalJSON() ([]byte, error) {
	if !v.finite() {
		return nil, errNoJSON
	}
	return v.append(make([]byte, 0, 128)), nil
}

var errNoJSON = errors.New("a number that JSON does not have")

func (v value) finite() bool {
	for i := range v.list {
		if !v.list[i].finite() {
			return false
		}
	}
	for _, f := range v.fields {
		if !f.finite() {
			return false
		}
	}
	return !math.IsNaN(v.number) && !math.IsInf(v.number, 0)
}

// UnmarshalJSON refuses values nested deeper than the limit.
func (v *value) UnmarshalJSON(data []byte) error {
	parsed, err := parseJSON(data)
	if err == nil {
		*v = parsed
	}
	return err
}

func parseJSON(data []byte) (value, error) {
	var raw any
	if err := json.Unmarshal(data, &raw); err != nil {
		return value{}, err
	}
	return fromJSON(raw, 0)
}

var errTooDeep = errors.New("JSON nested too deeply")

func fromJSON(raw any, depth int) (value, error) {
	if depth > maxJSONDepth {
		return value{}, errTooDeep
	}
	switch x := raw.(type) {
	case string:
		return text(x), nil
	case float64:
		return number(x), nil
	case bool:
		return truth(x), nil
	case []any:
		v := value{kind: listKind, list: make([]value, len(x))}
		for i := range x {
			var err error
			if v.list[i], err = fromJSON(x[i], depth+1); err != nil {
				return value{}, err
			}
		}
		return v, nil
	case map[string]any:
		v := value{kind: objectKind, fields: make(map[string]value, len(x))}
		for k := range x {
			f, err := fromJSON(x[k], depth+1)
			if err != nil {
				return value{}, err
			}
			v.fields[k] = f
		}
		return v, nil
	}
	return value{}, nil
}

// value reads any YAML value.
func (d *decoder) value(n ast.Node, what string, depth int) value {
	if depth > maxJSONDepth {
		d.fault(n, "%s: nested too deeply", what)
		return value{}
	}
	switch x := n.(type) {
	case nil, *ast.NullNode:
		return value{}
	case *ast.BoolNode:
		return truth(x.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		return number(d.number(n, what))
	case *ast.StringNode, *ast.LiteralNode:
		return text(d.text(n, what))
	case *ast.SequenceNode:
		v := value{kind: listKind}
		for _, i := range x.Values {
			v.list = append(v.list, d.value(i, what, depth+1))
		}
		return v
	case *ast.MappingNode, *ast.MappingValueNode:
		v := value{kind: objectKind, fields: map[string]value{}}
		for _, e := range d.entries(n, what) {
			v.fields[e.key] = d.value(e.val, what, depth+1)
		}
		return v
	}
	d.fault(n, "%s: want a value, got %s", what, describe(n))
	return value{}
}
