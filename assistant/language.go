package assistant

import (
	"slices"

	words "github.com/skein-mesh/skein/assistant/text"
)

// The languages that this version understands.
const (
	english = "en"
	chinese = "zh"
)

// neutral words are written in both languages' conversations and say nothing about which one is spoken.
var neutral = set("ok okay hi hello hey bye vip app sms wifi usb kg cm")

// spoken gives the language of a message by its script: any Chinese character makes it Chinese, a Latin word
// English. Entities do not count, since order numbers and product names are the same in both. "" when the
// message does not tell.
func spoken(ts []words.Token) string {
	latin := false
	for _, t := range ts {
		if t.Kind == words.Han {
			return chinese
		}
		if t.Kind == words.Entity || neutral[t.Text] {
			continue
		}
		latin = latin || t.Text[0] >= 'a' && t.Text[0] <= 'z'
	}
	if latin {
		return english
	}
	return ""
}

// language decides in which language a turn is answered.
func (a *Assistant) language(ts []words.Token, remembered string) string {
	if l := spoken(ts); slices.Contains(a.def.languages, l) {
		return l
	}
	if slices.Contains(a.def.languages, remembered) {
		return remembered
	}
	return a.def.fallback
}
