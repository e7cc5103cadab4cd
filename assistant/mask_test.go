package assistant

import (
	"strings"
	"testing"

	words "github.com/skein-mesh/skein/assistant/text"
)

const listed = `
assistant: {id: t, languages: [en, zh]}
entities:
  shoe: {list: {runner: {en: [Runner X], zh: [跑鞋]}, city: {en: [City Walk], zh: [城市漫步鞋]}}, fuzzy: 1}
  order: {regex: 'SO\d+'}
intents:
  find: {en: ["do you have [Runner X](shoe)", "where is [SO1](order)"], zh: ["有[跑鞋](shoe)吗"]}
flows:
  find: {start: {intent: find}, steps: [{say: {en: "yes", zh: "有"}}]}
`

func TestMask(t *testing.T) {
	a, err := Parse("t.yaml", []byte(listed))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ message, want string }{
		{"do you have Runner X?", "do you have @shoe"},
		{"do you have runer x and city wlk", "do you have @shoe and @shoe"},
		{"where is SO123, and so on", "where is @order and so on"},
		{"有跑鞋吗", "有 @shoe 吗"},
		{"有城市慢步鞋吗", "有 @shoe 吗"},
		{"xSO12y", "@order"},
		{"no entity", "no entity"},
		{"", ""},
	} {
		m := read(c.message)
		var got []string
		for _, token := range mask(m, resolve(a.def.find(m), "")) {
			name := token.Text
			if token.Kind == words.Entity {
				name = "@" + name
			}
			got = append(got, name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: got %q, want %q", c.message, s, c.want)
		}
	}
}

func TestFuzzyRefused(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"fuzzy: 1", "fuzzy: 3", "fuzzy: want 0 to 2 errors"},
		{"fuzzy: 1", "fuzzy: much", "fuzzy"},
		{"[Runner X]", "['…']", "want a letter"},
	} {
		_, err := Parse("t.yaml", []byte(strings.Replace(listed, c.from, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "t.yaml:4:") {
			t.Errorf("%s: got error %v, want %q with its line", c.to, err, c.want)
		}
	}
}
