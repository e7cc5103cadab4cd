package dev

import "strings"

// chinese reports whether messages should be Chinese, by the first of the locale's variables that is set
// (POSIX.1-2024, section 8.2: LC_ALL, then the category, then LANG).
func chinese(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			lang := strings.ToLower(v)
			return lang == "zh" || strings.HasPrefix(lang, "zh_") || strings.HasPrefix(lang, "zh-") || strings.HasPrefix(lang, "zh.")
		}
	}
	return false
}
