package assistant

import (
	"errors"
	"strings"
	"testing"
)

const head = "assistant: {id: x, languages: [en, zh]}\n"

func TestParseFaults(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"empty", "", "test.yaml: empty"},
		{"not yaml", "a: [", "test.yaml:1:"},
		{"no assistant", "intents: {}\n", "test.yaml:1:8: the section assistant is missing"},
		{"unknown key", head + "intnets: {}\n", `test.yaml:2:1: definition: unknown key "intnets"; did you mean "intents"?`},
		{"later section", head + "tasks: {}\n", `test.yaml:2:1: definition: "tasks" is not yet supported`},
		{"later key", head + "slots: {a: {pii: true}}\n", `slot a: "pii" is not yet supported`},
		{"language", "assistant: {id: x, languages: [fr]}\n", `language "fr" is not yet supported`},
		{"bad id", "assistant: {id: 'A B'}\n", "want 1 to 64 small letters"},
		{"anchor", head + "intents: {a: &x {en: [hi]}}\n", "anchor or alias"},
		{"bad regex", head + "entities: {a: {regex: '('}}\n", "test.yaml:2:"},
		{"empty match", head + "entities: {a: {regex: 'x*'}}\n", "matches the empty text"},
		{"system entity", head + "entities: {a: system.money}\n", "not yet supported"},
		{"unknown entity", head + "slots: {a: {from: nix}}\n", `unknown entity "nix"`},
		{"unknown mark", head + "intents: {a: {en: ['see [x](nix)']}}\n", `unknown entity "nix"`},
		{"unknown intent", head + "flows: {f: {start: {intent: nix}, steps: [{say: hi}]}}\n", `unknown intent "nix"`},
		{"unknown slot", head + "flows: {f: {steps: [{say: '{{ slots.nix }}'}]}}\n", `unknown slot "nix"`},
		{"unknown root", head + "flows: {f: {steps: [{if: foo == 1, say: hi}]}}\n", `unknown name "foo"`},
		{"bad expression", head + "flows: {f: {steps: [{if: 'result. ==', say: hi}]}}\n", "has an empty part"},
		{"unknown tool", head + "flows: {f: {steps: [{call: nix}]}}\n", `unknown tool "nix"`},
		{"unknown filter", head + "flows: {f: {steps: [{say: '{{ now | dat }}'}]}}\n", `did you mean "date"?`},
		{"else alone", head + "flows: {f: {steps: [{else: , say: hi}]}}\n", "else without an if"},
		{"two actions", head + "tools: {t: {mock: {a: 1}}}\nflows: {f: {steps: [{call: t, answer: model}]}}\n", "a step does one of"},
		{"no action", head + "flows: {f: {steps: [{id: a}]}}\n", "the step does nothing"},
		{"goto", head + "flows: {f: {steps: [{goto: start}]}}\n", "want end"},
		{"handoff", head + "flows: {f: {steps: [{handoff: {}}]}}\n", `"handoff" is not yet supported`},
		{"no question", head + "entities: {e: {regex: x}}\nslots: {a: {from: e}}\nflows: {f: {steps: [{collect: a}]}}\n", "no question (ask) for the slot a"},
		{"unconfirmed", head + "tools: {t: {side_effect: true, mock: {a: 1}}}\nflows: {f: {steps: [{call: t}]}}\n", "needs a confirm before it on every path"},
		{"confirmed on one path", head + "tools: {t: {side_effect: true, mock: {a: 1}}}\n" +
			"flows: {f: {steps: [{if: intent == 'x', steps: [{confirm: sure?}]}, {call: t}]}}\n", "on every path"},
		{"post reads", head + "tools: {t: {http: {method: POST, url: 'http://x/'}}}\n", "say side_effect: true"},
		{"key of the time", head + "tools: {t: {http: {url: 'http://x/', idempotency_key: '{{ now }}'}}}\n",
			"test.yaml:2:55: tool t: http: idempotency_key: now may differ at a second attempt"},
		{"key of a result", head + "tools: {t: {http: {url: 'http://x/', idempotency_key: 'a-{{ result.id }}'}}}\n", "idempotency_key: result may differ"},
		{"inserted host", head + "slots: {a: {type: text}}\ntools: {t: {http: {url: 'http://{{ slots.a }}/'}}}\n", "stands behind the host and a '/'"},
		{"longer host", head + "slots: {a: {type: text}}\ntools: {t: {http: {url: '${BASE}{{ slots.a }}/'}}}\n", "stands behind the host and a '/'"},
		{"secret", head + "tools: {t: {http: {url: '${secret:x}'}}}\n", "want the name of an environment variable"},
		{"path", head + "tools: {t: {mock: {a: 1}, returns: {a: 'b.c'}}}\n", "want a path"},
		{"language of text", head + "flows: {f: {steps: [{say: {zh: 好}}]}}\n", "no text in the default language en"},
		{"duplicate", head + "intents: {a: {en: [hi]}, a: {en: [ho]}}\n", "test.yaml:2:"},
		{"deep", head + strings.Repeat("[", 500), "nested too deeply"},
		{"faq file", head + "knowledge: [{id: f, faq: ./faq.csv}]\n", "write its entries here"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("test.yaml", []byte(tt.src))
			if _, ok := errors.AsType[Faults](err); !ok {
				t.Fatalf("got %v (%T), want Faults", err, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to hold %q", err, tt.want)
			}
		})
	}
}

func TestParseTellsEveryFault(t *testing.T) {
	_, err := Parse("x.yaml", []byte("assistant: {id: x, langages: [en]}\nslots:\n  a: {typ: text}\n  b: {type: txt}\n"))
	faults, _ := errors.AsType[Faults](err)
	lines := []int{}
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if len(lines) != 3 || lines[0] != 1 || lines[1] != 3 || lines[2] != 4 {
		t.Errorf("got faults in lines %v, want 1, 3 and 4: %v", lines, err)
	}
}

func TestWholeFormatIsRefusedWithNames(t *testing.T) {
	src := head + "migrate: []\nretrieval: {}\ndeploy: {}\nguardrails: {}\n"
	_, err := Parse("x.yaml", []byte(src))
	for _, name := range []string{"migrate", "retrieval", "deploy", "guardrails"} {
		if err == nil || !strings.Contains(err.Error(), `"`+name+`" is not yet supported`) {
			t.Errorf("got %v, want %s named as not yet supported", err, name)
		}
	}
}

func TestMemoryOfAnotherDefinition(t *testing.T) {
	a := mustShop(t)
	tests := []struct {
		name, memory, text string
		final              bool
		want               string // part of the reply; empty: an error
	}{
		{"step gone", `{"v":1,"def":1,"stack":[{"flow":"refund","step":"nowhere","asked":"reason"}],"slots":{"order_no":"SO10022"}}`, "too small", false, "89.50"},
		{"moved by version", `{"v":1,"def":9,"stack":[{"flow":"refund","step":"7","asked":"?","confirmed":true}]}`, "yes", false, "Which order"},
		{"flow gone", `{"v":1,"def":1,"stack":[{"flow":"nix","step":"0"}]}`, "hello", false, "order"},
		{"slot gone", `{"v":1,"def":1,"slots":{"nix":"a","size":"not a number","order_no":"SO10021"}}`, "where is it now", false, "SO10021"},
		{"unknown field", `{"v":1,"def":1,"new":true}`, "when are you open", false, "10:00"},
		{"corrupt", `{"v":1`, "hello", true, ""},
		{"no format", `{}`, "hello", false, "order"},
		{"not an object", `[1]`, "hello", true, ""},
		{"newer", `{"v":2}`, "hello", false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newTalk(t, a)
			k.in.Memory = []byte(tt.memory)
			got, err := k.try(tt.text)
			if (err != nil) != (tt.want == "") || errors.Is(err, ErrFinal) != tt.final {
				t.Fatalf("got error %v, want one: %t, final: %t", err, tt.want == "", tt.final)
			}
			if !strings.Contains(got.Text, tt.want) {
				t.Errorf("got %q, want it to hold %q", got.Text, tt.want)
			}
			if len(k.host.calls) > 0 {
				t.Errorf("a side effect was reached: %v", k.host.calls)
			}
		})
	}
}
