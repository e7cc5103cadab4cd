package guard

import (
	_ "embed"
	"strings"
)

//go:embed examples.txt
var examples string

// builtin gives the examples that come with the package.
func builtin() []Example {
	var out []Example
	for line := range strings.Lines(examples) {
		if mark, message, ok := strings.Cut(strings.TrimSpace(line), " "); ok && mark != "#" {
			out = append(out, Example{Text: message, Attack: mark == "+"})
		}
	}
	return out
}
