package guard

import (
	"strings"

	"github.com/skein-mesh/skein/assistant/text"
)

// rule names an attack by words that stand near each other in one sentence: a word of each set, in their order, with
// at most gap other tokens between two. Chinese words are sequences of tokens.
type rule struct {
	name string
	sets []map[string]bool
	gap  int
}

// longest is the most tokens of a Chinese word in a set.
const longest = 4

func newRule(name string, gap int, sets ...string) rule {
	r := rule{name: name, gap: gap}
	for _, words := range sets {
		m := map[string]bool{}
		for w := range strings.FieldsSeq(words) {
			m[w] = true
		}
		r.sets = append(r.sets, m)
	}
	return r
}

// The rules. English words are in the forms that messages have; the sets are what attacks have in common in public
// collections of them and in the OWASP list (LLM01: Prompt Injection), without the names of models or vendors.
var rules = func() []rule {
	const (
		drop   = "ignore ignoring forget disregard neglect override overlook bypass dismiss discard drop"
		former = "previous prior above earlier preceding all any every everything your the my these those system initial original"
		told   = "instruction instructions prompt prompts rule rules guideline guidelines directive directives command commands context restrictions policies assignments told"
		show   = "show reveal print display output repeat give tell return leak expose write"
		inner  = "prompt prompts instructions directives"
	)
	return []rule{
		newRule("forget instructions", 4, drop, former, told),
		newRule("forget what came before", 3, drop, "everything all anything what", "before above previously prior said told"),
		newRule("show the prompt", 3, show, "your system hidden initial original", inner),
		newRule("no limits", 4, "you act pretend answer respond", "without no any", "restrictions limitations filters censorship ethics guidelines"),
		newRule("another mode", 2, "developer god jailbreak dan unrestricted", "mode enabled activated"),
		newRule("忽略指令", 8, "忽略 无视 忘记 忘掉 不要理会 不要管 抛弃 跳过 绕过 忽视", "指令 指示 提示 提示词 规则 设定 限制 要求 说明"),
		newRule("忘记之前", 6, "忘记 忘掉 忽略 无视", "之前 以上 前面 上面 上述 先前 此前", "所有 一切 全部 内容 说过 告诉 对话"),
		newRule("another part", 8, "pretend act imagine play be", "no without never", "rules rule restrictions limits limit morals refuse"),
		newRule("交出提示词", 8, "把 将", "提示词 系统提示 初始指令 内部规则 系统设定", "打印 输出 显示 告诉 发给 说出"),
		newRule("显示提示词", 8, "显示 输出 打印 告诉 透露 泄露 重复 给我看 说出 展示", "系统 初始 隐藏 内部 你的", "提示词 提示 指令 设定 规则"),
		newRule("没有限制", 6, "扮演 假装 你现在 你是 进入", "没有 不受 无 解除", "限制 约束 审查 道德 规则"),
		newRule("另一模式", 2, "开发者 上帝 越狱 无限制", "模式"),
	}
}()

// broken gives the first rule that a message breaks.
func broken(m *text.Message, parts []part) (Verdict, bool) {
	for _, p := range parts {
		ts := m.Tokens[p.from:p.to]
		for i := range rules {
			if from, to, ok := rules[i].match(ts); ok {
				v := Verdict{Attack: true, Score: 1, Rule: rules[i].name}
				v.Start, v.End = m.Span(ts[from].Start, ts[to-1].End)
				return v, true
			}
		}
		if from, to, ok := spelled(ts); ok {
			v := Verdict{Attack: true, Score: 1, Rule: "letters apart"}
			v.Start, v.End = m.Span(ts[from].Start, ts[to-1].End)
			return v, true
		}
	}
	return Verdict{}, false
}

// match gives the tokens in which a rule is broken.
func (r *rule) match(ts []text.Token) (from, to int, ok bool) {
	for i := range ts {
		n := starts(ts[i:], r.sets[0])
		if n == 0 {
			continue
		}
		if end, ok := r.rest(ts, i+n, 1); ok {
			return i, end, true
		}
	}
	return 0, 0, false
}

// rest finds the sets from the k-th on behind the token at.
func (r *rule) rest(ts []text.Token, at, k int) (end int, ok bool) {
	if k == len(r.sets) {
		return at, true
	}
	for i := at; i < len(ts) && i <= at+r.gap; i++ {
		if n := starts(ts[i:], r.sets[k]); n > 0 {
			if end, ok := r.rest(ts, i+n, k+1); ok {
				return end, true
			}
		}
	}
	return 0, false
}

// starts gives the tokens of the longest word of a set that ts begins with, 0 if there is none.
func starts(ts []text.Token, set map[string]bool) int {
	if ts[0].Kind != text.Han {
		if set[ts[0].Text] {
			return 1
		}
		return 0
	}
	var word [longest * 4]byte
	b := word[:0]
	n := 0
	for i := 0; i < min(longest, len(ts)) && ts[i].Kind == text.Han; i++ {
		b = append(b, ts[i].Text...)
		if set[string(b)] {
			n = i + 1
		}
	}
	return n
}

// fewestLetters is from how many single letters in a row on a message hides words: "i g n o r e  t h i s".
const fewestLetters = 7

// spelled finds words whose letters are written apart.
func spelled(ts []text.Token) (from, to int, ok bool) {
	for i, t := range ts {
		if len(t.Text) != 1 || t.Kind != text.Word {
			from = i + 1
			continue
		}
		if i+1-from >= fewestLetters {
			return from, i + 1, true
		}
	}
	return 0, 0, false
}
