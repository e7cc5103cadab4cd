package retrieval

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/assistant/text"
)

func tokens(s string) []text.Token { return text.Read(s, 0).Tokens }

func questions(list ...string) Entry {
	var e Entry
	for _, q := range list {
		e.Questions = append(e.Questions, tokens(q))
	}
	return e
}

var faq = []Entry{
	questions("How much is shipping?", "what does delivery cost", "运费多少钱", "包邮吗"),
	questions("How long does shipping take?", "when will my parcel arrive", "几天能到", "多久发货"),
	questions("Can I return shoes that I have worn?", "what is your return policy", "穿过的鞋可以退吗", "退货有什么条件"),
	questions("How do I get an invoice?", "i need a receipt for my company", "怎么开发票", "发票在哪里下载"),
	questions("How do I clean the shoes?", "can they go into the washing machine", "鞋子怎么洗", "可以机洗吗"),
}

func TestFind(t *testing.T) {
	x := New(faq)
	for _, c := range []struct {
		message string
		want    int // -1: nothing
	}{
		{"what is the price of shipping", 0},
		{"delivery costs?", 0},
		{"邮费", 0},
		{"how long will the shipping take to spain", 1},
		{"多久能发货", 1},
		{"return worn shoes", 2},
		{"鞋穿过了能退货吗", 2},
		{"I need invoices", 3},
		{"invioce", 3}, // parts of the word meet
		{"发票", 3},
		{"washing mashine", 4},
		{"洗鞋", 4},
		{"zzz qqq", -1},
		{"", -1},
	} {
		hits := x.Find(tokens(c.message), 3)
		got := -1
		if len(hits) > 0 {
			got = hits[0].Entry
		}
		if got != c.want {
			t.Errorf("%q: got %+v, want entry %d", c.message, hits, c.want)
		}
	}
}

func TestScore(t *testing.T) {
	x := New(faq)
	score := func(message string) float64 {
		if hits := x.Find(tokens(message), 1); len(hits) > 0 {
			return hits[0].Score
		}
		return 0
	}
	same, near, far := score("How do I get an invoice?"), score("invoices"), score("the capital of peru and its invoice history")
	if same < 0.95 || same > 1 || near >= same || far >= near || far > 0.5 {
		t.Errorf("the question itself %.2f, a word of it %.2f, beside others %.2f", same, near, far)
	}
}

func TestBodies(t *testing.T) {
	x := New([]Entry{
		{Title: tokens("Warranty"), Body: tokens("Soles are covered for two years from the day of purchase.")},
		{Title: tokens("Sizes"), Body: tokens("Our shoes run small, so take half a size more. The warranty does not cover a wrong choice.")},
		{Title: tokens("会员"), Body: tokens("会员每年生日当月可以享受一次九折优惠，积分一年内有效。")},
	})
	for message, want := range map[string]int{
		"how many years is the warranty": 0, "do they run small": 1, "积分多久过期": 2, "生日有优惠吗": 2,
	} {
		hits := x.Find(tokens(message), 1)
		if len(hits) != 1 || hits[0].Entry != want || hits[0].Score <= 0 || hits[0].Score > 1 {
			t.Errorf("%q: got %+v, want entry %d", message, hits, want)
		}
	}
}

// TestParaphrases shows that a stored paraphrase makes its entry be found.
func TestParaphrases(t *testing.T) {
	rich := slices.Clone(faq)
	rich[3].Questions = append(slices.Clone(rich[3].Questions), tokens("taxes are due"))
	message := tokens("something about taxes")
	if hits := New(faq).Find(message, 1); len(hits) > 0 && hits[0].Entry == 3 {
		t.Fatal("found without the paraphrase: the test shows nothing")
	}
	if hits := New(rich).Find(message, 1); len(hits) == 0 || hits[0].Entry != 3 {
		t.Errorf("got %+v, want entry 3", hits)
	}
}

func TestOrder(t *testing.T) {
	x := New([]Entry{questions("same words"), questions("same words"), {}, questions("same words")})
	for range 3 {
		hits := x.Find(tokens("same words"), 10)
		if len(hits) != 3 || hits[0].Entry != 0 || hits[1].Entry != 1 || hits[2].Entry != 3 {
			t.Errorf("got %+v, want equal entries in their order", hits)
		}
	}
	if hits := x.Find(tokens("same"), 0); len(hits) != 0 {
		t.Errorf("got %+v, want none", hits)
	}
	if hits := New(nil).Find(tokens("same"), 3); len(hits) != 0 {
		t.Errorf("got %+v of nothing", hits)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("how much is shipping", "运费")
	f.Add("\xff\u202e", strings.Repeat("a b ", 5000))
	f.Fuzz(func(t *testing.T, question, message string) {
		x := New(append(slices.Clone(faq), questions(question), Entry{Body: tokens(question)}))
		for _, h := range x.Find(tokens(message), 5) {
			if !(h.Score >= 0 && h.Score <= 1) || h.Entry < 0 || h.Entry > len(faq)+1 {
				t.Fatalf("%q in %q: %+v", message, question, h)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, questions(fmt.Sprintf("how do i get thing%d from place%d", i, i%37), fmt.Sprintf("第%d个东西在哪里", i)))
	}
	x := New(entries)
	message := tokens("where do i get thing77 at place3 please")
	b.ReportAllocs()
	for b.Loop() {
		x.Find(message, 5)
	}
}
