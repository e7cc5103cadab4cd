package dev

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/skein-mesh/skein"
)

// maxPrefixes bounds a --geo file; the configuration of a node holds them all.
const maxPrefixes = 5_000

// place is where the clients of a prefix are.
type place struct {
	prefix netip.Prefix
	region skein.Region
}

// builtinPrefixes are networks reserved for documentation (RFC 5737, RFC 3849).
var builtinPrefixes = []place{
	{netip.MustParsePrefix("192.0.2.0/24"), "eu"},
	{netip.MustParsePrefix("2001:db8:1::/48"), "eu"},
	{netip.MustParsePrefix("198.51.100.0/24"), "us"},
	{netip.MustParsePrefix("203.0.113.0/24"), "ap"},
}

// coordinates of the regions that the default mesh has: Frankfurt, Northern Virginia, Singapore (WGS 84).
var coordinates = map[skein.Region][2]float64{
	"eu": {50.11, 8.68},
	"us": {39.04, -77.49},
	"ap": {1.35, 103.82},
}

// prefixes gives the built-in table and the lines of file, for the regions of the mesh.
func (t topology) prefixes(file string) ([]place, error) {
	var all []place
	for _, p := range builtinPrefixes {
		if t.has(p.region) {
			all = append(all, p)
		}
	}
	if file == "" {
		return all, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("--geo: %w", err)
	}
	defer f.Close()
	more, err := parsePrefixes(f)
	if err != nil {
		return nil, fmt.Errorf("--geo %s:%w", file, err)
	}
	for _, p := range more {
		if !t.has(p.region) {
			return nil, fmt.Errorf("--geo %s: %s is in region %s, which this mesh does not have", file, p.prefix, p.region)
		}
	}
	return append(all, more...), nil
}

func (t topology) has(r skein.Region) bool {
	for _, p := range t {
		if p.name == r {
			return true
		}
	}
	return false
}

// parsePrefixes reads lines of PREFIX REGION; '#' begins a comment. The error begins with the line's number.
func parsePrefixes(r io.Reader) ([]place, error) {
	var all []place
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		text, _, _ := strings.Cut(sc.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 || !skein.ValidName(fields[1]) {
			return nil, fmt.Errorf("%d: want PREFIX REGION, as in 192.0.2.0/24 eu", line)
		}
		prefix, err := netip.ParsePrefix(fields[0])
		if err != nil {
			return nil, fmt.Errorf("%d: %.80q is no prefix such as 192.0.2.0/24", line, fields[0])
		}
		if len(all) == maxPrefixes {
			return nil, fmt.Errorf("%d: more than %d prefixes", line, maxPrefixes)
		}
		all = append(all, place{prefix.Masked(), skein.Region(fields[1])})
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return all, nil
}
