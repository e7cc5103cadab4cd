package assistant

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

func fresh() *memory {
	return &memory{Format: memoryFormat, Definition: 3, Slots: map[string]value{}, Seen: map[string]string{}}
}

func TestMemoryIsWrittenAsJSON(t *testing.T) {
	object := value{kind: objectKind, fields: map[string]value{"b": number(-2), "a": value{kind: listKind, list: []value{text("x"), {}}}, "e": {kind: objectKind}}}
	for name, m := range map[string]*memory{
		"empty": fresh(),
		"nil":   {Format: 1},
		"full": {
			Format: 1, Definition: 2, Language: "zh", Intent: "where", Flow: "refund",
			Slots: map[string]value{"z": text("现在到哪了"), "order": object, "n": number(0), "yes": truth(true), "no": truth(false)},
			Stack: []frame{{Flow: "a", Step: "b"}, {Flow: "c", Step: "d", Asked: "?", Tries: 2, Confirmed: true, Result: object, Saved: map[string]value{"s": number(3)}}},
			Seen:  map[string]string{"shoe": "x", "color": "rot"},
		},
		"odd texts": {Format: 1, Language: "a\"b\\c\n<d>&\u2028“”\x7f\xff", Seen: map[string]string{"<": "\x00"}},
		"odd numbers": {Format: 1, Slots: map[string]value{
			"a": number(1.5), "b": number(1e300), "c": number(math.Copysign(0, -1)), "d": number(999999999999999), "e": number(1e15), "f": number(-1e14)}},
	} {
		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range m.Slots {
			if want, err := json.Marshal(foreign(v)); err != nil || !bytes.Equal(v.append(nil), want) {
				t.Errorf("%s, slot %s: got %s, want %s, %v", name, k, v.append(nil), want, err)
			}
		}
		if got := m.append(nil); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}

// foreign gives v in types that encoding/json writes by itself.
func foreign(v value) any {
	switch {
	case v.kind == textKind:
		return v.text
	case v.kind == numberKind:
		return v.number
	case v.kind == boolKind:
		return v.truth
	case v.kind == listKind && v.list != nil:
		list := []any{}
		for _, e := range v.list {
			list = append(list, foreign(e))
		}
		return list
	case v.kind == objectKind && v.fields != nil:
		m := map[string]any{}
		for k, e := range v.fields {
			m[k] = foreign(e)
		}
		return m
	}
	return nil
}

func TestNumbersWithoutJSON(t *testing.T) {
	for _, v := range []value{number(math.NaN()), {kind: listKind, list: []value{number(math.Inf(1))}},
		{kind: objectKind, fields: map[string]value{"a": number(math.Inf(-1))}}} {
		if got, err := v.MarshalJSON(); err == nil {
			t.Errorf("%+v: got %s, want an error", v, got)
		}
	}
}

// TestMemoryIsReadAsJSON: what is not left to encoding/json gives what that gives.
func TestMemoryIsReadAsJSON(t *testing.T) {
	for _, tt := range []struct {
		in   string
		ours bool
	}{
		{`{"v":1,"def":2,"lang":"zh","slots":{"n":-12,"o":{"a":[1,"x",true,false,null,{}],"b":{}}},"stack":[{"flow":"f","step":"s","asked":"?","tries":1,"confirmed":true,"result":{"k":0},"saved":{"z":"现"}}],"seen":{"a":"b"}}`, true},
		{`{}`, true},
		{`{"v":1,"new":2}`, false},
		{`{"v":1.0}`, false},
		{`{"v":01}`, false},
		{`{"v":-0}`, false},
		{`{"slots":{"a":1e3}}`, false},
		{`{"slots":{"a":1},"slots":{"b":1}}`, false},
		{`{"lang":"a\n"}`, false},
		{"{\"lang\":\"\xff\"}", false},
		{`{"v":1} `, false},
		{`{"v":1}}`, false},
		{`{"v":1,}`, false},
		{`{"slots":null}`, false},
		{`{"slots":{"a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}`, false},
		{``, false},
		{`{`, false},
		{`{"lang`, false},
	} {
		got := fresh()
		if ours := got.read([]byte(tt.in)); ours != tt.ours {
			t.Errorf("%.60s: read without encoding/json: %v, want %v", tt.in, ours, tt.ours)
		} else if ours {
			sameAsJSON(t, tt.in, got)
		}
	}
}

func sameAsJSON(t *testing.T, in string, got *memory) {
	t.Helper()
	want := fresh()
	if err := json.Unmarshal([]byte(in), want); err != nil {
		t.Errorf("%.200q: read, but encoding/json says %v", in, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%.200q:\ngot  %+v\nwant %+v", in, got, want)
	}
}

func FuzzMemoryCodec(f *testing.F) {
	f.Add(`{"v":1,"def":2,"lang":"zh","slots":{"n":-12,"o":{"a":[1,"x",true,null]}},"stack":[{"flow":"f","step":"s","tries":1,"confirmed":false,"result":0}],"seen":{"a":"b"}}`)
	f.Fuzz(func(t *testing.T, in string) {
		got := fresh()
		if !got.read([]byte(in)) {
			return
		}
		sameAsJSON(t, in, got)
		for k, v := range got.Slots {
			if want, err := json.Marshal(foreign(v)); err != nil || !bytes.Equal(v.append(nil), want) {
				t.Errorf("slot %s: got %s, want %s, %v", k, v.append(nil), want, err)
			}
		}
		want, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if out := got.append(nil); !bytes.Equal(out, want) {
			t.Errorf("written:\ngot  %s\nwant %s", out, want)
		}
	})
}
