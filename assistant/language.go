package assistant

import "slices"

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
func spoken(ts []token) string {
	latin := false
	for _, t := range ts {
		if t.han {
			return chinese
		}
		if t.entity || neutral[t.text] {
			continue
		}
		latin = latin || t.text[0] >= 'a' && t.text[0] <= 'z'
	}
	if latin {
		return english
	}
	return ""
}

// language decides in which language a turn is answered.
func (a *Assistant) language(ts []token, remembered string) string {
	if l := spoken(ts); slices.Contains(a.def.languages, l) {
		return l
	}
	if slices.Contains(a.def.languages, remembered) {
		return remembered
	}
	return a.def.fallback
}
