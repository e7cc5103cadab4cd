package assistant

import (
	"strings"

	words "github.com/skein-mesh/skein/assistant/text"
)

// Phrases that every conversation has. A message is compared by whole words, or whole characters in Chinese.
type phrase uint8

const (
	noPhrase phrase = iota
	affirmPhrase
	denyPhrase
	cancelPhrase
	fillerPhrase
	followPhrase  // "what about …": the same question for another thing
	correctPhrase // "i meant …"
	butPhrase     // takes back what was said before it
)

var phraseLists = map[phrase]string{
	affirmPhrase: "yes|yeah|yep|yup|sure|ok|okay|okey|right|correct|exactly|of course|go ahead|do it|confirm|confirmed|i confirm|i agree|agreed|" +
		"absolutely|definitely|fine|sounds good|no problem|please do|that's right|that is right|looks good|all good|perfect|y|" +
		"好|好的|好吧|可以|行|是|是的|对|对的|嗯|嗯嗯|没错|没问题|确认|确定|同意|当然|没有问题|就这样|可以的|行吧|好呀|要的|办吧|退吧|ok的",
	denyPhrase: "no|nope|nah|not|don't|do not|wrong|incorrect|that's wrong|not that|no thanks|no thank you|n|" +
		"不|不是|不对|不行|不要|不可以|不好|别|错了|不同意|不想|没有|不确认|先不要|不退",
	cancelPhrase: "cancel|cancel that|cancel it|cancel this|never mind|nevermind|forget it|forget about it|stop|abort|quit|leave it|drop it|" +
		"i changed my mind|changed my mind|stop it|取消|算了|不用了|不弄了|不退了|不办了|停|停止|先不弄了|先不退了|先不办了|不需要了|改主意了|不查了",
	fillerPhrase: "please|thanks|thank you|just|the|a|it|that|this|then|well|um|uh|hmm|oh|in|for|one|is|so|with|i do|i would|i am|" +
		"sorry|hey|my|order|it's|its|number|to|do you have|got|" +
		"吧|啊|呀|哦|呢|的|了|请|谢谢|麻烦|那|就|你|您|帮我|我|嗯|哈|是|订单|订单号|号|吗|这个|那个|还有",
	followPhrase:  "what about|how about|and|and what about|and how about|what if|also|or|try|and for|换成|那么|还有|那|呢|和|如果是|改成|换|换个",
	correctPhrase: "i meant|i mean|actually|rather|should be|it should be|correction|typo|make it|instead|我是说|应该是|说错了|写错了|打错了|而是|更正|改为|我说的是",
	butPhrase:     "but|except|however|instead|unless|wait|但|但是|不过|等等|等一下|先别",
}

// asking words make a question.
const asking = "what|where|when|why|how|who|which|whose|can i|could i|do you|does it|is there|吗|什么|哪|几点|怎么|多少|多久|为什么|能不能|可不可以"

// another asks for something else than what was talked about.
const another = "another|different|other|someone else's|new one|另一个|另外|另一|其他|其它|别的|换一个"

// anaphors point to what was talked about.
const anaphors = "it|that|this|those|these|them|那款|这款|那双|这双|那个|这个|它|那种|这种|该款|同款"

// hasher is FNV-1a over 64 bits (draft-eastlake-fnv, section 4).
type hasher uint64

// noHash is the hash of nothing.
const noHash hasher = 14695981039346656037

func (h hasher) byte(b byte) hasher { return (h ^ hasher(b)) * 1099511628211 }

func (h hasher) text(s string) hasher {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h
}

// lexicon finds phrases in a message by the hashes of their tokens.
type lexicon struct {
	classes   map[hasher]phrase
	another   map[hasher]phrase
	anaphors  map[hasher]phrase
	asking    map[hasher]phrase
	maxTokens int
}

func newLexicon() *lexicon {
	l := &lexicon{classes: map[hasher]phrase{}, another: map[hasher]phrase{}, anaphors: map[hasher]phrase{}, asking: map[hasher]phrase{}}
	for class := affirmPhrase; class <= butPhrase; class++ {
		l.add(l.classes, phraseLists[class], class)
	}
	l.add(l.another, another, followPhrase)
	l.add(l.anaphors, anaphors, followPhrase)
	l.add(l.asking, asking, followPhrase)
	return l
}

// add takes a list of phrases in; one that is known keeps its class.
func (l *lexicon) add(to map[hasher]phrase, list string, class phrase) {
	for p := range strings.SplitSeq(list, "|") {
		ts := read(p).Tokens
		l.maxTokens = max(l.maxTokens, len(ts))
		h := noHash
		for _, t := range ts {
			h = h.text(t.Text).byte(' ')
		}
		if _, ok := to[h]; !ok {
			to[h] = class
		}
	}
}

// longest gives the class and the length of the longest phrase that ts begins with.
func (l *lexicon) longest(ts []words.Token, in map[hasher]phrase) (phrase, int) {
	h, found, n := noHash, noPhrase, 1
	for i, t := range ts[:min(l.maxTokens, len(ts))] {
		if t.Kind == words.Entity {
			break
		}
		h = h.text(t.Text).byte(' ')
		if p, ok := in[h]; ok {
			found, n = p, i+1
		}
	}
	return found, n
}

// find calls f for each phrase from the left, the longest first, with its tokens; noPhrase for a token that begins none.
func (l *lexicon) find(ts []words.Token, f func(p phrase, ts []words.Token)) {
	for len(ts) > 0 {
		p, n := l.longest(ts, l.classes)
		f(p, ts[:n])
		ts = ts[n:]
	}
}

// has reports whether any run of tokens is in a set.
func (l *lexicon) has(ts []words.Token, in map[hasher]phrase) bool {
	for i := range ts {
		if p, _ := l.longest(ts[i:], in); p != noPhrase {
			return true
		}
	}
	return false
}

func builtinExamples(name string) []string {
	switch name {
	case "affirm":
		return strings.Split(phraseLists[affirmPhrase], "|")
	case "deny":
		return strings.Split(phraseLists[denyPhrase], "|")
	case "cancel":
		return strings.Split(phraseLists[cancelPhrase], "|")
	case "thanks":
		return strings.Split("thanks|thank you|thank you so much|many thanks|cheers|thx|great thanks|that helped|appreciate it|thanks a lot|much appreciated|"+
			"谢谢|谢谢你|多谢|感谢|非常感谢|谢了|辛苦了|谢谢您|太感谢了|好的谢谢", "|")
	case "goodbye":
		return strings.Split("bye|goodbye|see you|have a nice day|good night|see you later|bye bye|that is all|再见|拜拜|回头见|晚安|没事了|下次再聊", "|")
	case "repeat":
		return strings.Split("say that again|repeat that|what did you say|can you repeat|pardon|come again|再说一遍|重复一下|你刚才说什么|没看清|再说一次", "|")
	case "help":
		return strings.Split("help|what can you do|what can i ask|how does this work|how can you help me|帮助|你能做什么|你会什么|怎么用|你可以帮我做什么", "|")
	}
	return nil
}

// The sentences that a definition may leave to us.
const (
	sayFallback = "fallback"
	sayCancel   = "cancel"
	sayDenied   = "denied"
	sayToolDown = "tool"
	sayGiveUp   = "giveup"
	sayUnknown  = "unknown"
	sayRetry    = "retry"
	sayDone     = "done"
)

var ownWords = map[string]map[string]string{
	sayFallback: {english: "Sorry, I can't help with that.", chinese: "抱歉，这个我帮不上忙。"},
	sayCancel:   {english: "Cancelled.", chinese: "已取消。"},
	sayDenied:   {english: "All right, nothing was changed.", chinese: "好的，没有做任何改动。"},
	sayToolDown: {english: "That did not work just now. Please try again later.", chinese: "刚才没有成功，请稍后再试。"},
	sayGiveUp:   {english: "Let's leave it there. You can start again at any time.", chinese: "那我们先到这里，您随时可以重新开始。"},
	sayUnknown: {english: "I can't tell whether this went through. It is not repeated before somebody has checked.",
		chinese: "目前无法确认是否已经办成，在人工核实之前不会重复提交。"},
	sayRetry: {english: "I did not get that.", chinese: "我没有听明白。"},
	sayDone:  {english: "Done.", chinese: "已完成。"},
}
