package assistant

import (
	"testing"

	"github.com/skein-mesh/skein/session"
)

func FuzzParse(f *testing.F) {
	f.Add(confirmThenCall)
	f.Add(head + "flows: {f: {steps: [{if: a, say: b}, {else: , goto: end}]}}")
	f.Add("a: &x [*x]\n? - -\n")
	f.Fuzz(func(t *testing.T, src string) {
		a, err := Parse("f.yaml", []byte(src))
		if (a == nil) != (err != nil) {
			t.Errorf("got %v and %v", a, err)
		}
	})
}

func FuzzExpr(f *testing.F) {
	for _, s := range []string{`slots.order == nil and not (intent != "x")`, "1 < -2.5", "(((", "not not a", "'x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if e, err := parseExpr(src); err == nil {
			e.eval(testScope())
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"a {{ slots.n | money('CNY') }} b", "${A}{{ intent }}", "{{ a | days(3) | date('iso') }}", "{{", "${"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if tpl, err := parseTemplate(src); err == nil {
			tpl.render(testScope(), func(string) string { return "e" }, escape)
		}
	})
}

func FuzzMemory(f *testing.F) {
	a := mustShop(f)
	f.Add([]byte(`{"v":1,"def":1,"stack":[{"flow":"refund","step":"why","asked":"reason","saved":{"size":3}}],"slots":{"order_no":"SO10022"}}`), "too small")
	f.Add([]byte(`{"v":1,"stack":[{"flow":"refund","step":"confirm","asked":"?","result":[1]}],"seen":{"shoe":"x"}}`), "yes")
	f.Add([]byte(`{"v":1,"stack":null,"slots":null}`), "那款鞋还有39码吗")
	f.Fuzz(func(t *testing.T, memory []byte, text string) {
		in := Input{Session: "eu~f", Text: text, Memory: memory}
		got, err := a.Answer(t.Context(), in, alone{})
		if err != nil {
			return
		}
		if len(got.Memory) > session.MaxMemory {
			t.Errorf("%d bytes of memory", len(got.Memory))
		}
		in.Memory = got.Memory
		if _, err := a.Answer(t.Context(), in, alone{}); err != nil && len(text) <= session.MaxText {
			t.Errorf("the memory that was written is not read: %v", err)
		}
	})
}
