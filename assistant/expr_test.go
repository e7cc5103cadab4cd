package assistant

import (
	"strings"
	"testing"
)

type mapScope map[string]value

func (m mapScope) lookup(path []string) value { return m[path[0]].at(path[1:]) }

func (m mapScope) filter(f filter, v value) value { return text(f.name + ":" + v.String()) }

func testScope() mapScope {
	order, _ := parseJSON([]byte(`{"status":"shipped","days":8,"items":[{"name":"a b/c"}],"paid":true}`))
	return mapScope{"slots": {kind: objectKind, fields: map[string]value{"order": order, "n": number(2), "s": text("x")}}, "intent": text("ask")}
}

func TestExpr(t *testing.T) {
	tests := []struct {
		src  string
		want string
	}{
		{`slots.order == nil`, "false"}, {`slots.none == nil`, "true"}, {`slots.order.days > 7`, "true"},
		{`slots.order.days >= 8 and slots.order.status == "shipped"`, "true"}, {`slots.order.days < 8 or intent != 'ask'`, "false"},
		{`not slots.order.paid`, "false"}, {`not (slots.n == 2 and slots.s == "y")`, "true"}, {`slots.s < 3`, "false"},
		{`slots.s > "a"`, "true"}, {`slots.none < 3`, "false"}, {`slots.order.items.0.name`, "a b/c"}, {`-1.5 < slots.n`, "true"},
		{`true and nil`, "false"}, {`slots.order.paid == true`, "true"}, {`slots.none.deep.er`, ""}, {`order_ == nil`, "true"},
	}
	for _, tt := range tests {
		e, err := parseExpr(tt.src)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if got := e.eval(testScope()).String(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.src, got, tt.want)
		}
	}
	for _, src := range []string{"", "(", "a ==", "a b", "'x", "1..2", "a..b", "and", "not", strings.Repeat("(", 100) + "1", strings.Repeat("not ", 100) + "1", "a; b", "f(x)"} {
		if _, err := parseExpr(src); err == nil {
			t.Errorf("%q: got no error", src)
		}
	}
}

func TestTemplate(t *testing.T) {
	tests := []struct{ src, want string }{
		{"plain", "plain"}, {"{{ slots.n }}", "2"}, {"a {{ slots.s | upper }} b", "a upper:x b"}, {"${BASE}/{{ slots.order.items.0.name }}", "http://h/a%20b%2Fc"},
		{"{{ slots.none }}", ""}, {"{{ slots.s | name | lower }}", "lower:name:x"}, {"} }} {", "} }} {"},
	}
	env := func(string) string { return "http://h" }
	for _, tt := range tests {
		tpl, err := parseTemplate(tt.src)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		esc := escape
		if strings.Contains(tt.src, "|") {
			esc = nil
		}
		if got := tpl.render(testScope(), env, esc); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.src, got, tt.want)
		}
	}
	for _, src := range []string{"{{", "${", "${a b}", "{{ }}", "{{ a | nix }}", "{{ a | date('x') }}", "{{ a | money }}", "{{ a | days('x') }}", strings.Repeat("x", maxTemplate+1)} {
		if _, err := parseTemplate(src); err == nil {
			t.Errorf("%.20q: got no error", src)
		}
	}
	tpl, _ := parseTemplate("{{ slots.s }}")
	if got := tpl.render(mapScope{"slots": {kind: objectKind, fields: map[string]value{"s": text("{{ intent }} ${HOME}")}}}, env, nil); got != "{{ intent }} ${HOME}" {
		t.Errorf("what is inserted was read as a template: %q", got)
	}
}

func TestFilters(t *testing.T) {
	a := mustShop(t)
	tests := []struct {
		lang, filter, arg string
		in                value
		want              string
	}{
		{"en", "date", "short", text("2026-11-05"), "5 Nov"}, {"zh", "date", "short", text("2026-11-05"), "11月5日"},
		{"en", "date", "long", text("2026-11-05T23:00:00Z"), "6 November 2026"}, {"en", "date", "", text("soon"), "soon"},
		{"en", "money", "CNY", number(89.5), "¥89.50"}, {"zh", "money", "CNY", number(89.5), "89.50 元"}, {"en", "money", "JPY", text("1200"), "¥1200"},
		{"en", "money", "CHF", number(1), "CHF 1.00"}, {"zh", "name", "", text("city_walk"), "城市漫步"}, {"en", "default", "-", value{}, "-"}, {"en", "upper", "", value{}, ""},
	}
	for _, tt := range tests {
		turn := &turn{a: a, lang: tt.lang}
		if got := turn.filter(filter{tt.filter, tt.arg}, tt.in).String(); got != tt.want {
			t.Errorf("%s %s(%s): got %q, want %q", tt.lang, tt.filter, tt.arg, got, tt.want)
		}
	}
}

func TestPath(t *testing.T) {
	v, _ := parseJSON([]byte(`{"a":{"b":[{"c":"x"}]}}`))
	for src, want := range map[string]string{"$.a.b[0].c": "x", "$": `{"a":{"b":[{"c":"x"}]}}`, "$.a.z": "", "$.a.b[7]": ""} {
		if path, ok := parsePath(src); !ok || v.at(path).String() != want {
			t.Errorf("%s: got %q, %t, want %q", src, v.at(path), ok, want)
		}
	}
	for _, src := range []string{"", "a", "$a", "$.", "$..a", "$[x]", "$[-1]", "$[0"} {
		if _, ok := parsePath(src); ok {
			t.Errorf("%q was taken for a path", src)
		}
	}
}
