package config

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong.
type Fault struct {
	Where   string // FILE:LINE, FILE, $VARIABLE or --FLAG
	Key     string // as in listen.client; empty where no key is meant
	Problem string // what is wrong and what to do
}

// String gives one line.
func (f Fault) String() string {
	if f.Key == "" {
		return f.Where + ": " + f.Problem
	}
	return f.Where + ": " + f.Key + ": " + f.Problem
}

// Faults are all that is wrong with a configuration.
type Faults []Fault

const maxLines = 50 // of an error; more of them mean that this is another kind of file

// Error gives one line for each fault, the first 50 of them.
func (f Faults) Error() string {
	lines := make([]string, min(len(f), maxLines))
	for i := range lines {
		lines[i] = f[i].String()
	}
	if more := len(f) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(where, key, format string, args ...any) {
	*f = append(*f, Fault{Where: where, Key: key, Problem: fmt.Sprintf(format, args...)})
}
