package assistant

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/session"
)

func TestSameTurnSameAnswer(t *testing.T) {
	a, b := newTalk(t, mustShop(t)), newTalk(t, mustShop(t))
	for _, text := range []string{"hello", "where is my order SO10021", "现在到哪了？", "refund SO10022", "too big", "yes"} {
		x, y := a.say(text), b.say(text)
		if x.Text != y.Text || string(x.Memory) != string(y.Memory) || x.Source != y.Source {
			t.Errorf("%q: two nodes answer %+v and %+v", text, x, y)
		}
	}
}

func TestRetriesEnd(t *testing.T) {
	k := newTalk(t, mustShop(t))
	k.say("where is my order")
	for range 2 {
		if got := k.say("zzz").Text; !strings.Contains(got, "not look like") || !strings.Contains(got, "starts with SO") {
			t.Errorf("got %q, want the fault and the question again", got)
		}
	}
	if got := k.say("zzz").Text; !strings.Contains(got, "leave it there") {
		t.Errorf("got %q, want the end of the flow", got)
	}
	if got := k.say("zzz").Source; got != "fallback" {
		t.Errorf("got %q, want no flow to wait", got)
	}
}

func TestConfirmNeedsAYes(t *testing.T) {
	tests := []struct {
		text   string
		passes bool
	}{
		{"yes", true}, {"Yes, please!", true}, {"ok", true}, {"ok, go ahead", true}, {"sure, refund it", true}, {"好的", true}, {"是的，退吧", true}, {"确认", true},
		{"yes SO10022", true}, {"no", false}, {"no thanks", false}, {"不要", false}, {"不对", false}, {"yes?", false}, {"ok but wait", false},
		{"yes, but for SO10026", false}, {"好的，但是等一下", false}, {"可以吗", false}, {"right, where is my order", false}, {"hmm", false},
		{"never mind", false}, {"i am not sure", false}, {"do not do it", false}, {"yesterday", false}, {"", false}, {"不好", false}, {"别退", false},
	}
	a := mustShop(t)
	for _, tt := range tests {
		k := newTalk(t, a)
		if got := k.say("refund SO10022, it is too small"); !strings.Contains(got.Text, "89.50") {
			t.Fatalf("got %q, want the question", got.Text)
		}
		got := k.say(tt.text)
		if passed := len(k.host.calls) > 0; passed != tt.passes {
			t.Errorf("%q: refunded: %t, want %t (%q)", tt.text, passed, tt.passes, got.Text)
		}
	}
}

func TestCorrectionAsksAgain(t *testing.T) {
	k := newTalk(t, mustShop(t))
	k.say("退款 SO10022，尺码太小")
	if got := k.say("不对，是SO10026").Text; !strings.Contains(got, "SO10026") || !strings.Contains(got, "129.00") {
		t.Errorf("got %q, want the other order's confirm", got)
	}
	if k.say("好的"); len(k.host.calls) != 1 || !strings.Contains(k.host.calls[0].Args, "SO10026") {
		t.Errorf("got calls %v, want one for SO10026", k.host.calls)
	}
}

func TestMixedNegation(t *testing.T) {
	k := newTalk(t, mustShop(t))
	k.say("where is SO10021")
	if got := k.say("not SO10021, SO10025").Text; !strings.Contains(got, "SO10025") {
		t.Errorf("got %q, want the second order", got)
	}
}

func TestAnotherOrderIsAskedFor(t *testing.T) {
	k := newTalk(t, mustShop(t))
	k.say("where is my order SO10021")
	if got := k.say("track another order").Text; !strings.Contains(got, "What is the order number") {
		t.Errorf("got %q, want the question", got)
	}
}

func TestLanguageIsRemembered(t *testing.T) {
	k := newTalk(t, mustShop(t))
	k.say("查一下物流")
	if got := k.say("SO10021").Text; !strings.Contains(got, "配送") {
		t.Errorf("got %q, want Chinese", got)
	}
	if got := k.say("Runner X").Text; !strings.Contains(got, "码") {
		t.Errorf("got %q, want Chinese", got)
	}
	if got := k.say("which sizes are left in Runner X").Text; !strings.Contains(got, "size") {
		t.Errorf("got %q, want English", got)
	}
}

func TestHostileMessages(t *testing.T) {
	a := mustShop(t)
	long := strings.Repeat("where is my order ", 400)
	for _, text := range []string{"", " ", "\x00\xff\xfe", "\u202ewhere\u200b is", "{{ slots.order_no }} ${HOME}", long, strings.Repeat("好", 2000),
		"SO" + strings.Repeat("1", 5000), "🙂🙂🙂", "ﬁﬂ İ", strings.Repeat("yes ", 1000), "'" + strings.Repeat("a'", 500)} {
		k := newTalk(t, a)
		k.say("refund SO10022, too small")
		got := k.say(text)
		if got.Text == "" || len(got.Memory) > session.MaxMemory || len(k.host.calls) > 0 {
			t.Errorf("%.30q: got %.60q, %d bytes of memory, %d calls", text, got.Text, len(got.Memory), len(k.host.calls))
		}
	}
	k := newTalk(t, a)
	if _, err := k.try(strings.Repeat("x", session.MaxText+1)); !errors.Is(err, ErrFinal) {
		t.Errorf("got %v, want ErrFinal", err)
	}
	if got := k.say("w\u200bhere is \u202emy order ＳＯ１００２１").Text; !strings.Contains(got, "SO10021") {
		t.Errorf("got %q, want the order behind hidden characters", got)
	}
}

func TestLongSessionStaysSmall(t *testing.T) {
	k := newTalk(t, mustShop(t))
	texts := []string{"refund SO10022", "where is SO10021", "which sizes are left", "when are you open", "trail pro", "42", "查订单", "zzz", "too small", "no"}
	for i := range 300 {
		got := k.say(texts[i*7%len(texts)])
		if got.Text == "" || len(got.Memory) > 4<<10 {
			t.Fatalf("turn %d: %q with %d bytes of memory", i, got.Text, len(got.Memory))
		}
	}
}

func TestQuickAnswersNeedNoHost(t *testing.T) {
	k := newTalk(t, mustShop(t))
	k.host.deny = errHost
	for _, text := range []string{"hello", "where is SO10021", "how much is shipping", "Runner X in 42?", "bye"} {
		k.say(text)
	}
}

func TestEntities(t *testing.T) {
	a := mustShop(t)
	tests := []struct{ text, want string }{
		{"where is so10021?", "[order_no=SO10021]"}, {"XSO10021 SO123", "[]"}, {"订单SO10021到了", "[order_no=SO10021]"},
		{"RUNNER X and trail running shoes", "[shoe=runner_x shoe=trail_pro]"}, {"the runners", "[]"}, {"我要越野跑鞋42码", "[shoe=trail_pro size=42]"},
		{"it's torn, not thorn", "[reason=damaged]"}, {"size 42.", "[size=42]"}, {"142 or 420", "[]"}, {"Ｒｕｎｎｅｒ　Ｘ", "[shoe=runner_x]"}, {"不合适", "[reason=not_fitting]"},
	}
	for _, tt := range tests {
		m := read(tt.text)
		var got []string
		for _, m := range resolve(a.def.find(m), "") {
			got = append(got, m.entity.name+"="+m.value)
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%q: got %v, want %s", tt.text, got, tt.want)
		}
	}
}

func TestFailuresAreTold(t *testing.T) {
	a := mustParse(t, "assistant: {id: x, languages: [en]}\nintents: {a: {en: [hi]}}\nslots: {s: {type: text}}\nflows: {f: {start: {intent: a}, steps: [{say: hello you}]}}\n"+
		"tests:\n  - {name: one, turns: [{user: hi, expect: {says: 'hello*', flow: null, source: flow}}]}\n"+
		"  - {name: two, turns: [{user: hi, expect: {says: '*bye', flow: f, intent: b, slots: {s: x}, called: t}}]}\n")
	got := a.Test(t.Context())
	var what []string
	for _, f := range got {
		what = append(what, fmt.Sprint(f.Test, f.Line, f.What))
	}
	if want := "[two7says two7flow two7intent two7slots.s two7called]"; fmt.Sprint(what) != want {
		t.Errorf("got %v, want %s", what, want)
	}
}
