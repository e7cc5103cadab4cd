package intent

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/assistant/text"
)

// shop is a small definition in two languages.
var shop = map[string][]string{
	"track": {"where is my order", "has my parcel shipped yet", "track my package", "when will it arrive", "did you send it", "is the delivery late",
		"我的订单到哪了", "快递发货了吗", "查一下物流", "什么时候能到", "包裹现在在哪", "还没有收到货"},
	"refund": {"i want a refund", "return this item", "send it back", "i want my money back", "can i give these shoes back", "refund my order",
		"我要退款", "这个能退吗", "申请退货", "我想把鞋退了", "把钱退给我", "帮我退货"},
	"stock": {"do you have this in size 42", "is it in stock", "is size 39 still there", "are there any left", "do they come in black", "which sizes do you have",
		"还有39码吗", "有42码的吗", "有现货吗", "还有货没有", "黑色的有吗", "有哪些尺码"},
	"hours": {"when are you open", "what are your opening hours", "do you open on sunday", "when does the shop close", "are you open tonight", "opening times please",
		"你们几点开门", "周末营业吗", "营业时间是几点", "晚上几点关门", "节假日开门吗", "今天开门吗"},
	"human": {"talk to a person", "agent please", "i want to speak to a human", "connect me with an operator", "can someone call me", "real person please",
		"转人工", "找真人客服", "我要人工服务", "帮我接客服", "叫你们经理来", "可以和人说话吗"},
	"address": {"change the delivery address", "ship it somewhere else", "i moved, use my new address", "the address is wrong", "send it to my office", "update my address",
		"改一下收货地址", "换个地址送", "地址写错了", "寄到公司去", "我搬家了改地址", "更新收货地址"},
}

var order = []string{"track", "refund", "stock", "hours", "human", "address"}

func set(workers int) Set {
	s := Set{Classes: order, Workers: workers}
	for class, name := range order {
		for _, message := range shop[name] {
			s.Examples = append(s.Examples, Example{class, tokens(message)})
		}
	}
	return s
}

func tokens(s string) []text.Token { return text.Read(s, 0).Tokens }

func trained(t testing.TB, s Set) *Model {
	t.Helper()
	m, err := Train(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestUnderstand(t *testing.T) {
	m := trained(t, set(1))
	for message, want := range map[string]string{
		"where is my package now":           "track",
		"has the order arrived yet":         "track",
		"please refund me":                  "refund",
		"i would like to return the item":   "refund",
		"do you have it in size 40":         "stock",
		"when do you close tonight":         "hours",
		"let me speak with a person please": "human",
		"please change my address":          "address",
		"我的快递现在到哪了":                         "track",
		"我想退货":                              "refund",
		"还有40码的吗":                           "stock",
		"你们周末几点关门":                          "hours",
		"帮我转人工客服":                           "human",
		"收货地址要改一下":                          "address",
	} {
		g := m.Understand(tokens(message))
		if g.Class != want || g.Outside >= 0.5 || g.Exact {
			t.Errorf("%q: got %+v, want %s", message, g, want)
		}
		if g.Confidence <= g.Next[0].Confidence || g.Next[0].Confidence < g.Next[1].Confidence || math.Abs(g.Confidence-g.Next[0].Confidence-g.Margin) > 1e-9 {
			t.Errorf("%q: not in order: %+v", message, g)
		}
	}
}

func TestOutside(t *testing.T) {
	m := trained(t, set(1))
	for _, message := range []string{
		"tell me a joke about lawyers", "who won the football game", "what is the capital of peru", "qwertz uiop", "play some jazz",
		"讲个笑话", "股票涨了没", "贝多芬第九交响曲", "", "...", "\u200b",
	} {
		if g := m.Understand(tokens(message)); g.Outside < 0.5 {
			t.Errorf("%q: got %+v, want outside", message, g)
		}
	}
}

// TestGiven shows that messages that are given as outside, and their like, are outside although they share words with
// those inside.
func TestGiven(t *testing.T) {
	s := set(1)
	for _, message := range []string{"tell me a joke", "tell me something funny", "do you know a good joke", "who won the game", "讲个笑话", "说个笑话听听"} {
		s.Outside = append(s.Outside, tokens(message))
	}
	m := trained(t, s)
	for _, message := range []string{"do you have a good joke for me", "请讲一个笑话", "tell me a joke"} {
		if g := m.Understand(tokens(message)); g.Outside < 0.5 {
			t.Errorf("%q: got %+v, want outside", message, g)
		}
	}
	for _, message := range []string{"where is my package now", "我想退货"} {
		if g := m.Understand(tokens(message)); g.Outside >= 0.5 {
			t.Errorf("%q: got %+v, want inside", message, g)
		}
	}
}

func TestExact(t *testing.T) {
	m := trained(t, set(1))
	for message, want := range map[string]string{"Talk to a person!": "human", "转人工。": "human", "WHERE IS MY  ORDER?": "track"} {
		g := m.Understand(tokens(message))
		if !g.Exact || g.Class != want || g.Confidence != 1 || g.Outside != 0 {
			t.Errorf("%q: got %+v, want %s exactly", message, g, want)
		}
	}
}

// TestSame shows that neither the number of goroutines nor the time of day changes a guess.
func TestSame(t *testing.T) {
	one, many := trained(t, set(1)), trained(t, set(7))
	for _, message := range []string{"where is it", "refund", "你们几点开门啊", "tell me a joke"} {
		if a, b := one.Understand(tokens(message)), many.Understand(tokens(message)); a != b {
			t.Errorf("%q: %+v, then %+v", message, a, b)
		}
	}
}

func TestSmall(t *testing.T) {
	for name, s := range map[string]Set{
		"nothing":        {},
		"no class":       {Outside: [][]text.Token{tokens("a b")}},
		"one class":      {Classes: []string{"a"}, Examples: []Example{{0, tokens("hello there")}}},
		"empty examples": {Classes: []string{"a", "b"}, Examples: []Example{{0, nil}, {1, nil}}},
	} {
		m := trained(t, s)
		for _, message := range []string{"", "hello", "你好"} {
			g := m.Understand(tokens(message))
			if math.IsNaN(g.Confidence) || math.IsNaN(g.Outside) || g.Outside < 0 || g.Outside > 1 {
				t.Errorf("%s: %q: %+v", name, message, g)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for name, s := range map[string]Set{
		"class":    {Classes: []string{"a"}, Examples: []Example{{1, tokens("x")}}},
		"negative": {Classes: []string{"a"}, Examples: []Example{{-1, tokens("x")}}},
		"classes":  {Classes: make([]string, MaxClasses+1)},
		"examples": {Outside: make([][]text.Token, MaxExamples+1)},
	} {
		if _, err := Train(s); err == nil || !strings.HasPrefix(err.Error(), "train intents: ") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// TestHeat finds the heat that the scores of made-up verdicts have.
func TestHeat(t *testing.T) {
	var seen []verdict
	for i := range 1000 {
		// The score says 0.5 of log-odds for each unit of heat; every tenth truth is the other class at odds of e².
		v := verdict{scores: []float32{0.5, 0}}
		if float64(i)/1000 > 1/(1+math.Exp(-2)) {
			v.class = 1
		}
		seen = append(seen, v)
	}
	if got := heat(seen); math.Abs(got-4) > 0.1 {
		t.Errorf("got %.2f, want 4", got)
	}
}

// TestScope finds the weights with which observations were made up.
func TestScope(t *testing.T) {
	var all []observation
	for i := range 2000 {
		x := float64(i%100)/50 - 1
		var o observation
		o.signs[signScore] = x
		o.outside = float64(i/100%20)/20 < 1/(1+math.Exp(3*x))
		o.weight = 1.0 / 2000
		all = append(all, o)
	}
	var s scope
	s.fit(all)
	var low, high signals
	low[signScore], high[signScore] = -1, 1
	if a, b := s.outside(&low), s.outside(&high); math.Abs(a-0.95) > 0.03 || math.Abs(b-0.05) > 0.03 {
		t.Errorf("outside at -1 %.3f, at 1 %.3f, want 0.95 and 0.05", a, b)
	}
	s.settle(all, 1)
	lost := 0
	inside := 0
	for _, o := range all {
		if !o.outside {
			inside++
			if s.outside(&o.signs) > 0.5 {
				lost++
			}
		}
	}
	if share := float64(lost) / float64(inside); share > mostLost+lostByFew/math.Sqrt(float64(inside))+0.002 {
		t.Errorf("%.3f of the messages inside are lost, want at most %.3f", share, mostLost)
	}
}

func FuzzUnderstand(f *testing.F) {
	m := trained(f, set(1))
	for _, s := range []string{"where is my order", "我要退货\u200b", "\xff\xfe", "\u202erefund", strings.Repeat("a ", 3000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := m.Understand(tokens(s))
		for _, p := range []float64{g.Confidence, g.Margin, g.Outside, g.Next[0].Confidence, g.Next[1].Confidence} {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("%q: %+v", s, g)
			}
		}
	})
}

func BenchmarkUnderstand(b *testing.B) {
	m := trained(b, set(1))
	ts := tokens("can you tell me where my order is right now please")
	b.ReportAllocs()
	for b.Loop() {
		m.Understand(ts)
	}
}

// BenchmarkTrain trains sets of the size of a shop's and larger.
func BenchmarkTrain(b *testing.B) {
	for _, classes := range []int{6, 30} {
		s := Set{}
		for i := range classes {
			s.Classes = append(s.Classes, fmt.Sprint(i))
			for _, message := range shop[order[i%6]] {
				s.Examples = append(s.Examples, Example{i, tokens(strings.ReplaceAll(message, " ", fmt.Sprintf(" w%d", i)))})
			}
		}
		b.Run(fmt.Sprint(classes), func(b *testing.B) {
			for b.Loop() {
				trained(b, s)
			}
		})
	}
}
