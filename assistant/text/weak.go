package text

import "strings"

// Weak reports whether a word or a Chinese character says little about what a message is about: function words, and
// those that make a question or ask politely. In a small collection of texts their rarity does not show it.
func Weak(word string) bool { return weak[word] }

var weak = set("a an the is are am was be been do does did i me my mine you your u it its this that these those to of for in on at " +
	"and or please can could would will shall may there have has had just so hey with by about im id ill ive how what when where why " +
	"which who should if as from not dont doesnt any some " +
	"的 了 吗 呢 吧 啊 呀 我 你 您 请 是 在 有 个 一 这 那 就 都 也 们 给 么 下 能 要 想 问 把 和 跟 什 怎 哪 为 谁 何")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}
