package config

import (
	"fmt"
	"slices"
	"strings"
)

// nearest gives the candidate that takes the fewest edits to reach from s, or "" where all are too far to be meant.
// Ties go to the first in order.
func nearest(s string, candidates []string) string {
	best, least := "", max(2, len(s)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(s, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, substitutions and swaps of neighbours between a and b (Damerau
// 1964, restricted to one edit of each pair). Only the first 64 bytes count.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// unknown says which key may have been meant by name below section ("" at the top).
func unknown(section, name string) string {
	siblings := children(section)
	if n := nearest(name, siblings); n != "" {
		return fmt.Sprintf("unknown key; the nearest is %s", join(section, n))
	}
	for _, s := range settings { // the right name in the wrong place
		if s.key == name || strings.HasSuffix(s.key, "."+name) {
			return fmt.Sprintf("unknown key here; did you mean %s?", s.key)
		}
	}
	place := "at the top level"
	if section != "" {
		place = "below " + section
	}
	return fmt.Sprintf("unknown key; known %s are %s", place, strings.Join(siblings, ", "))
}

// children are the names right below section, in the order of the settings.
func children(section string) []string {
	var names []string
	for _, s := range settings {
		rest := s.key
		if section != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(s.key, section+"."); !ok {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}
