package assistant

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A memory is read and written at every turn, and encoding/json was half of what a turn cost. What follows writes the
// same bytes, and reads what it wrote; anything else (escapes, fractions, white space, a field of a newer version) is
// left to encoding/json.

// append appends m as json.Marshal writes it.
func (m *memory) append(buf []byte) []byte {
	buf = strconv.AppendInt(append(buf, `{"v":`...), int64(m.Format), 10)
	buf = strconv.AppendInt(append(buf, `,"def":`...), int64(m.Definition), 10)
	buf = appendNamed(buf, `,"lang":`, m.Language)
	buf = appendNamed(buf, `,"intent":`, m.Intent)
	buf = appendNamed(buf, `,"flow":`, m.Flow)
	if len(m.Slots) > 0 {
		buf = appendFields(append(buf, `,"slots":`...), m.Slots)
	}
	if len(m.Stack) > 0 {
		buf = append(buf, `,"stack":[`...)
		for i := range m.Stack {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = m.Stack[i].append(buf)
		}
		buf = append(buf, ']')
	}
	if len(m.Seen) > 0 {
		buf = append(buf, `,"seen":`...)
		for i, k := range slices.Sorted(maps.Keys(m.Seen)) {
			buf = appendText(append(buf, opens(i)), k)
			buf = appendText(append(buf, ':'), m.Seen[k])
		}
		buf = append(buf, '}')
	}
	return append(buf, '}')
}

func (f *frame) append(buf []byte) []byte {
	buf = appendText(append(buf, `{"flow":`...), f.Flow)
	buf = appendText(append(buf, `,"step":`...), f.Step)
	buf = appendNamed(buf, `,"asked":`, f.Asked)
	if f.Tries != 0 {
		buf = strconv.AppendInt(append(buf, `,"tries":`...), int64(f.Tries), 10)
	}
	if f.Confirmed {
		buf = append(buf, `,"confirmed":true`...)
	}
	if !f.Result.IsZero() {
		buf = f.Result.append(append(buf, `,"result":`...))
	}
	if len(f.Saved) > 0 {
		buf = appendFields(append(buf, `,"saved":`...), f.Saved)
	}
	return append(buf, '}')
}

// append appends v as JSON, objects with sorted keys.
func (v value) append(buf []byte) []byte {
	switch v.kind {
	case textKind:
		return appendText(buf, v.text)
	case numberKind:
		if n := v.number; n == math.Trunc(n) && math.Abs(n) < 1e15 && !(n == 0 && math.Signbit(n)) {
			return strconv.AppendInt(buf, int64(n), 10)
		}
		return appendAny(buf, v.number)
	case boolKind:
		return strconv.AppendBool(buf, v.truth)
	case listKind:
		if v.list == nil {
			break
		}
		buf = append(buf, '[')
		for i := range v.list {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = v.list[i].append(buf)
		}
		return append(buf, ']')
	case objectKind:
		if v.fields != nil {
			return appendFields(buf, v.fields)
		}
	}
	return append(buf, "null"...)
}

// opens gives what stands before field i of an object.
func opens(i int) byte {
	if i == 0 {
		return '{'
	}
	return ','
}

func appendFields(buf []byte, m map[string]value) []byte {
	if len(m) == 0 {
		return append(buf, "{}"...)
	}
	var few [16]string
	names := few[:0]
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	for i, k := range names {
		buf = appendText(append(buf, opens(i)), k)
		buf = m[k].append(append(buf, ':'))
	}
	return append(buf, '}')
}

func appendNamed(buf []byte, name, s string) []byte {
	if s == "" {
		return buf
	}
	return appendText(append(buf, name...), s)
}

func appendText(buf []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0xe2 {
			return appendAny(buf, s) // 0xe2 begins, among others, U+2028, which is escaped
		}
	}
	if !utf8.ValidString(s) {
		return appendAny(buf, s)
	}
	return append(append(append(buf, '"'), s...), '"')
}

// appendAny leaves a text or a number to encoding/json; one that has no JSON is null, as no memory holds one.
func appendAny[T string | float64](buf []byte, v T) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return append(buf, "null"...)
	}
	return append(buf, b...)
}

// reader reads what append writes. bad is set by whatever is left to encoding/json.
type reader struct {
	data []byte
	bad  bool
}

// read fills a fresh m from data, and reports whether it could; m may be half filled otherwise.
func (m *memory) read(data []byte) bool {
	r := &reader{data: data}
	r.object(func(name string) {
		switch name {
		case "v":
			m.Format = r.integer()
		case "def":
			m.Definition = r.integer()
		case "lang":
			m.Language = r.text()
		case "intent":
			m.Intent = r.text()
		case "flow":
			m.Flow = r.text()
		case "slots":
			r.bad = r.bad || len(m.Slots) > 0
			m.Slots = r.fields(0)
		case "stack":
			r.bad = r.bad || m.Stack != nil
			m.Stack = []frame{}
			r.list(func() { m.Stack = append(m.Stack, r.frame()) })
		case "seen":
			r.bad = r.bad || len(m.Seen) > 0
			r.object(func(name string) { m.Seen[name] = r.text() })
		default:
			r.bad = true
		}
	})
	return !r.bad && len(r.data) == 0
}

func (r *reader) frame() (f frame) {
	r.object(func(name string) {
		switch name {
		case "flow":
			f.Flow = r.text()
		case "step":
			f.Step = r.text()
		case "asked":
			f.Asked = r.text()
		case "tries":
			f.Tries = r.integer()
		case "confirmed":
			v := r.value(0)
			r.bad = r.bad || v.kind != boolKind
			f.Confirmed = v.truth
		case "result":
			f.Result = r.value(0)
		case "saved":
			r.bad = r.bad || f.Saved != nil
			f.Saved = r.fields(0)
		default:
			r.bad = true
		}
	})
	return f
}

// next takes c, and reports whether it stood there.
func (r *reader) next(c byte) bool {
	if len(r.data) == 0 || r.data[0] != c {
		return false
	}
	r.data = r.data[1:]
	return true
}

func (r *reader) want(c byte) { r.bad = !r.next(c) || r.bad }

func (r *reader) object(field func(name string)) {
	r.want('{')
	if r.next('}') {
		return
	}
	for !r.bad {
		name := r.text()
		if r.want(':'); r.bad {
			return
		}
		if field(name); !r.next(',') {
			r.want('}')
			return
		}
	}
}

func (r *reader) list(element func()) {
	r.want('[')
	if r.next(']') {
		return
	}
	for !r.bad {
		if element(); !r.next(',') {
			r.want(']')
			return
		}
	}
}

func (r *reader) text() string {
	r.want('"')
	for i, c := range r.data {
		switch {
		case c == '"':
			raw := r.data[:i]
			r.data = r.data[i+1:]
			r.bad = r.bad || !utf8.Valid(raw)
			return string(raw)
		case c == '\\' || c < ' ':
			r.bad = true
			return ""
		}
	}
	r.bad = true
	return ""
}

// integer takes up to 15 digits, which a float64 holds exactly.
func (r *reader) integer() int {
	minus, n, digits := r.next('-'), 0, 0
	for len(r.data) > 0 && r.data[0] >= '0' && r.data[0] <= '9' {
		n, digits, r.data = 10*n+int(r.data[0]-'0'), digits+1, r.data[1:]
		if digits > 15 || digits == 2 && n < 10 {
			r.bad = true
			return 0
		}
	}
	fraction := len(r.data) > 0 && (r.data[0] == '.' || r.data[0] == 'e' || r.data[0] == 'E')
	if r.bad = r.bad || digits == 0 || fraction || minus && n == 0; minus {
		return -n
	}
	return n
}

func (r *reader) fields(depth int) map[string]value {
	m := map[string]value{}
	r.object(func(name string) { m[name] = r.value(depth) })
	return m
}

func (r *reader) value(depth int) value {
	if len(r.data) == 0 || depth > maxJSONDepth {
		r.bad = true
	}
	if r.bad {
		return value{}
	}
	switch r.data[0] {
	case '"':
		return text(r.text())
	case '{':
		return value{kind: objectKind, fields: r.fields(depth + 1)}
	case '[':
		v := value{kind: listKind, list: []value{}}
		r.list(func() { v.list = append(v.list, r.value(depth+1)) })
		return v
	case 't':
		return truth(r.word("true"))
	case 'f':
		return truth(!r.word("false"))
	case 'n':
		r.word("null")
		return value{}
	}
	return number(float64(r.integer()))
}

func (r *reader) word(w string) bool {
	if len(r.data) < len(w) || string(r.data[:len(w)]) != w {
		r.bad = true
		return false
	}
	r.data = r.data[len(w):]
	return true
}
