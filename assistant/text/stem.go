package text

import "strings"

// Stem takes the endings off an English word, so that its forms meet: the Porter2 stemmer (M. F. Porter, "The
// English (Porter2) stemming algorithm", snowballstem.org, 2002), without its apostrophes, which a [Token] does not
// have. A word of other letters stays as it is.
func Stem(word string) string {
	if len(word) <= 2 || len(word) > maxStem {
		return word
	}
	for i := range len(word) {
		if (word[i] < 'a' || word[i] > 'z') && word[i] != '\'' {
			return word
		}
	}
	if to, ok := irregular[word]; ok {
		return to
	}
	s := newStemmer(word)
	s.plural()
	if !invariant[string(s.b)] {
		s.past()
		s.finalY()
		s.replace(suffixes2)
		s.suffix3()
		s.suffix4()
		s.finalE()
	}
	return strings.ToLower(string(s.b))
}

// maxStem is the longest word that is stemmed, in bytes.
const maxStem = 40

var irregular = map[string]string{
	"skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl", "gently": "gentl",
	"ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl", "sky": "sky", "news": "news", "howe": "howe",
	"atlas": "atlas", "cosmos": "cosmos", "bias": "bias", "andes": "andes",
}

var invariant = map[string]bool{
	"inning": true, "outing": true, "canning": true, "herring": true, "earring": true, "proceed": true, "exceed": true, "succeed": true,
}

// stemmer holds a word whose consonant y is written Y, and where its regions R1 and R2 begin.
type stemmer struct {
	b      []byte
	r1, r2 int
}

func newStemmer(word string) *stemmer {
	s := &stemmer{b: []byte(word)}
	for i, c := range s.b {
		if c == 'y' && (i == 0 || vowel(s.b[i-1])) {
			s.b[i] = 'Y'
		}
	}
	s.r1 = region(s.b, 0)
	for _, p := range []string{"gener", "commun", "arsen"} {
		if strings.HasPrefix(word, p) {
			s.r1 = len(p)
		}
	}
	s.r2 = region(s.b, s.r1)
	return s
}

func vowel(c byte) bool {
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y'
}

// region gives the place after the first consonant that follows a vowel, from from on.
func region(b []byte, from int) int {
	for i := from + 1; i < len(b); i++ {
		if vowel(b[i-1]) && !vowel(b[i]) {
			return i + 1
		}
	}
	return len(b)
}

func (s *stemmer) ends(suffix string) bool { return strings.HasSuffix(string(s.b), suffix) }

func (s *stemmer) cut(n int, to string) { s.b = append(s.b[:len(s.b)-n], to...) }

func (s *stemmer) vowelBefore(end int) bool {
	for _, c := range s.b[:end] {
		if vowel(c) {
			return true
		}
	}
	return false
}

// plural is step 1a.
func (s *stemmer) plural() {
	switch n := len(s.b); {
	case s.ends("sses"):
		s.cut(2, "")
	case s.ends("ied") || s.ends("ies"):
		if n > 4 {
			s.cut(2, "")
		} else {
			s.cut(1, "")
		}
	case s.ends("us") || s.ends("ss"):
	case s.ends("s") && n > 2 && s.vowelBefore(n-2):
		s.cut(1, "")
	}
}

// past is step 1b.
func (s *stemmer) past() {
	for _, suffix := range []string{"eedly", "eed"} {
		if s.ends(suffix) {
			if len(s.b)-len(suffix) >= s.r1 {
				s.cut(len(suffix), "ee")
			}
			return
		}
	}
	for _, suffix := range []string{"ingly", "edly", "ing", "ed"} {
		if !s.ends(suffix) {
			continue
		}
		if !s.vowelBefore(len(s.b) - len(suffix)) {
			return
		}
		s.cut(len(suffix), "")
		s.afterPast()
		return
	}
}

func (s *stemmer) afterPast() {
	n := len(s.b)
	switch {
	case s.ends("at") || s.ends("bl") || s.ends("iz"):
		s.b = append(s.b, 'e')
	case n >= 2 && s.b[n-1] == s.b[n-2] && strings.IndexByte("bdfgmnprt", s.b[n-1]) >= 0:
		s.cut(1, "")
	case s.r1 >= n && s.short(n):
		s.b = append(s.b, 'e')
	}
}

// short reports whether the first n letters end with a short syllable.
func (s *stemmer) short(n int) bool {
	if n == 2 {
		return vowel(s.b[0]) && !vowel(s.b[1])
	}
	return n > 2 && !vowel(s.b[n-3]) && vowel(s.b[n-2]) && !vowel(s.b[n-1]) && strings.IndexByte("wxY", s.b[n-1]) < 0
}

// finalY is step 1c.
func (s *stemmer) finalY() {
	n := len(s.b)
	if n > 2 && (s.b[n-1] == 'y' || s.b[n-1] == 'Y') && !vowel(s.b[n-2]) {
		s.b[n-1] = 'i'
	}
}

type suffix struct{ from, to string }

// suffixes2 are those of step 2, the longest first where one ends with another.
var suffixes2 = []suffix{
	{"ization", "ize"}, {"ational", "ate"}, {"fulness", "ful"}, {"ousness", "ous"}, {"iveness", "ive"}, {"tional", "tion"},
	{"biliti", "ble"}, {"lessli", "less"}, {"entli", "ent"}, {"ation", "ate"}, {"alism", "al"}, {"aliti", "al"}, {"ousli", "ous"},
	{"iviti", "ive"}, {"fulli", "ful"}, {"enci", "ence"}, {"anci", "ance"}, {"abli", "able"}, {"izer", "ize"}, {"ator", "ate"},
	{"alli", "al"}, {"bli", "ble"}, {"ogi", "og"}, {"li", ""},
}

// replace takes the first suffix that the word ends with, if it lies in R1.
func (s *stemmer) replace(list []suffix) {
	for _, x := range list {
		if !s.ends(x.from) {
			continue
		}
		at := len(s.b) - len(x.from)
		switch {
		case at < s.r1:
		case x.from == "ogi" && (at == 0 || s.b[at-1] != 'l'):
		case x.from == "li" && (at == 0 || strings.IndexByte("cdeghkmnrt", s.b[at-1]) < 0):
		default:
			s.cut(len(x.from), x.to)
		}
		return
	}
}

// suffix3 is step 3.
func (s *stemmer) suffix3() {
	if s.ends("ative") {
		if len(s.b)-5 >= s.r2 {
			s.cut(5, "")
		}
		return
	}
	s.replace([]suffix{{"ational", "ate"}, {"tional", "tion"}, {"alize", "al"}, {"icate", "ic"}, {"iciti", "ic"}, {"ical", "ic"}, {"ness", ""}, {"ful", ""}})
}

// suffix4 is step 4.
func (s *stemmer) suffix4() {
	for _, x := range []string{"ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous", "ive", "ize", "ion", "al", "er", "ic"} {
		if !s.ends(x) {
			continue
		}
		at := len(s.b) - len(x)
		if at >= s.r2 && (x != "ion" || at > 0 && (s.b[at-1] == 's' || s.b[at-1] == 't')) {
			s.cut(len(x), "")
		}
		return
	}
}

// finalE is step 5.
func (s *stemmer) finalE() {
	n := len(s.b)
	switch {
	case s.ends("e") && (n-1 >= s.r2 || n-1 >= s.r1 && !s.short(n-1)):
		s.cut(1, "")
	case s.ends("l") && n-1 >= s.r2 && n > 1 && s.b[n-2] == 'l':
		s.cut(1, "")
	}
}
