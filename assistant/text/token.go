package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a token is.
type Kind uint8

// The kinds of tokens.
const (
	Word   Kind = iota + 1 // letters, or letters and digits
	Number                 // digits alone
	Han                    // one Chinese character
	Entity                 // the name of an entity, in place of what a message says for it
)

// Token is a piece of a message. Start and End are bytes of Message.Plain.
type Token struct {
	Text       string // folded, without apostrophes
	Start, End int
	Kind       Kind
}

// split gives the words, numbers and Chinese characters of folded text.
func split(s string) []Token {
	out := make([]Token, 0, min(len(s)/4+4, 64))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case IsHan(r):
			out = append(out, Token{Text: s[i : i+n], Start: i, End: i + n, Kind: Han})
		case inWord(r):
			var t Token
			t, n = word(s[i:])
			t.Start, t.End = i, i+n
			out = append(out, t)
		}
		i += n
	}
	return out
}

// word gives the word that s begins with, and its length; an apostrophe between letters belongs to it.
func word(s string) (Token, int) {
	end, digits, quoted := len(s), true, false
	for i, r := range s {
		if inWord(r) {
			digits = digits && unicode.IsDigit(r)
			continue
		}
		if r == '\'' {
			if next, _ := utf8.DecodeRuneInString(s[i+1:]); inWord(next) {
				quoted = true
				continue
			}
		}
		end = i
		break
	}
	t := Token{Text: s[:end], Kind: Word}
	if quoted {
		t.Text = strings.ReplaceAll(t.Text, "'", "")
	}
	if digits {
		t.Kind = Number
	}
	return t, end
}

// IsHan reports whether r is a Chinese character.
func IsHan(r rune) bool {
	return r >= 0x3400 && r <= 0x9FFF || r >= 0xF900 && r <= 0xFAFF || r >= 0x20000 && r <= 0x3FFFF
}

func inWord(r rune) bool {
	if r < 0x80 {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z'
	}
	return !IsHan(r) && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r))
}
