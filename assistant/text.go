package assistant

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean gives a message as the understanding reads it: valid UTF-8 without control, zero-width and direction
// characters (which could hide words), wide Latin forms folded to plain ones, single spaces, at most maxRead runes.
func clean(s string) string {
	var b strings.Builder
	b.Grow(min(len(s), 4*maxRead))
	count, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || r == '\u3000' {
			space = b.Len() > 0
			continue
		}
		if r == utf8.RuneError || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
			continue
		}
		if count++; count > maxRead {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(narrow(r))
	}
	return b.String()
}

func narrow(r rune) rune {
	switch {
	case r >= 0xFF01 && r <= 0xFF5E:
		return r - 0xFEE0
	case r == '’' || r == '‘':
		return '\''
	case r == '。':
		return '.'
	}
	return r
}

// lower folds case without moving a byte, so that places in the result are places in s.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if l := unicode.ToLower(r); utf8.RuneLen(l) == utf8.RuneLen(r) {
			return l
		}
		return r
	}, s)
}

// han reports whether r is a Chinese character.
func han(r rune) bool {
	return r >= 0x3400 && r <= 0x9FFF || r >= 0xF900 && r <= 0xFAFF || r >= 0x20000 && r <= 0x3FFFF
}

func wordRune(r rune) bool {
	return !han(r) && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r))
}

// token is a word, a Chinese character, or the name of an entity that stands in its place.
type token struct {
	text   string
	han    bool
	entity bool
}

// tokens splits folded text; mentions, ordered by start, are replaced by the names of their entities.
func tokens(s string, mentions []mention) []token {
	out := make([]token, 0, 16)
	for i := 0; i < len(s); {
		if len(mentions) > 0 && i >= mentions[0].start {
			m := mentions[0]
			mentions = mentions[1:]
			out = append(out, token{text: m.entity.name, entity: true})
			i = max(i, m.end)
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case han(r):
			out = append(out, token{text: s[i : i+n], han: true})
		case wordRune(r):
			end := len(s)
			if len(mentions) > 0 {
				end = mentions[0].start
			}
			n = wordLen(s[i:end])
			out = append(out, token{text: strings.ReplaceAll(s[i:i+n], "'", "")})
		}
		i += n
	}
	return out
}

// wordLen gives the bytes of the word that s begins with; an apostrophe between letters belongs to it.
func wordLen(s string) int {
	for i, r := range s {
		if wordRune(r) {
			continue
		}
		if r == '\'' && i+1 < len(s) {
			if next, _ := utf8.DecodeRuneInString(s[i+1:]); wordRune(next) {
				continue
			}
		}
		return i
	}
	return len(s)
}

// key joins tokens to one text for look-ups; punctuation, case and spaces do not count.
func key(ts []token) string {
	var b strings.Builder
	for i, t := range ts {
		if i > 0 {
			b.WriteByte(' ')
		}
		if t.entity {
			b.WriteByte('@')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// stem takes common English endings off, so that "returns", "returned" and "returning" are one word. It is not a
// dictionary: what matters is that forms of a word meet.
func stem(w string) string {
	n := len(w)
	if n > 3 && w[n-1] == 's' && w[n-2] != 's' && w[n-2] != 'u' && w[n-2] != 'i' {
		w = w[:n-1]
	}
	cut := w
	if n = len(w); n > 5 && strings.HasSuffix(w, "ing") {
		cut = w[:n-3]
	} else if n > 4 && strings.HasSuffix(w, "ed") {
		cut = w[:n-2]
	}
	if n = len(cut); len(cut) < len(w) && n > 3 && cut[n-1] == cut[n-2] && cut[n-1] != 's' && cut[n-1] != 'l' {
		cut = cut[:n-1]
	}
	if n = len(cut); n > 4 && cut[n-1] == 'e' {
		cut = cut[:n-1]
	}
	return cut
}

// weak words say little about what a message wants.
var weak = set("a an the is are am was be been do does did i me my mine you your u it its this that these those to of for in on at " +
	"and or please can could would will shall may there have has had just so hey with by about im id ill ive " +
	"的 了 吗 呢 吧 啊 呀 我 你 您 请 是 在 有 个 一 这 那 就 都 也 们 给 么 下 能 要 想 问 把 和 跟")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}
