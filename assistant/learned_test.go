package assistant

import (
	"strings"
	"testing"
)

const taught = `
assistant: {id: t, languages: [en, zh]}
entities:
  city: {learn: true}
  day: {list: {today: {en: [today], zh: [今天]}, tomorrow: {en: [tomorrow], zh: [明天]}}}
slots:
  city: {from: city}
intents:
  weather:
    en: ["what is the weather in [paris](city) tomorrow", "weather in [new york](city) today", "will it rain in [oslo](city)", "is it cold in [cape town](city) today", "forecast for [lima](city)", "weather in [rome](city)", "will it rain in [san remo](city) tomorrow", "forecast for [bern](city) please", "is it going to rain"]
    zh: ["[北京](city)今天天气怎么样", "[上海](city)明天下雨吗", "[广州](city)天气怎么样", "[西安](city)明天天气怎么样", "[大连](city)今天下雨吗", "[成都](city)下雨吗", "天气怎么样"]
  hours: {en: [when are you open, opening hours, are you open in the evening], zh: [几点开门, 营业时间, 晚上开门吗]}
flows:
  weather: {start: {intent: weather}, steps: [{collect: city, ask: {en: "Which city?", zh: "哪个城市？"}}, {say: {en: "{{ slots.city }} is fine", zh: "{{ slots.city }}不错"}}]}
  hours: {start: {intent: hours}, steps: [{say: {en: ten, zh: 十点}}]}
`

func TestLearned(t *testing.T) {
	a, err := Parse("t.yaml", []byte(taught))
	if err != nil {
		t.Fatal(err)
	}
	for message, want := range map[string]string{
		"what is the weather in Utrecht today":   "Utrecht is fine",
		"will it rain in Santa Barbara tomorrow": "Santa Barbara is fine",
		"武汉明天下雨吗":                                "武汉不错",
		"天气怎么样":                                  "哪个城市？",
		"when are you open":                      "ten",
	} {
		got, err := a.Answer(t.Context(), Input{Session: "eu~t", Text: message}, nil)
		if err != nil || got.Text != want {
			t.Errorf("%q: got %q, error %v, want %q", message, got.Text, err, want)
		}
	}
}

func TestLearnedRefused(t *testing.T) {
	_, err := Parse("t.yaml", []byte(strings.Replace(taught, "  day: {list", "  year: {learn: true}\n  day: {list", 1)))
	if err == nil || !strings.Contains(err.Error(), "entity year: learn: no example marks it; write [a value](year) in some") {
		t.Errorf("got error %v", err)
	}
}
