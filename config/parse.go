package config

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/node"
)

// item is one value as it was written.
type item struct {
	name  string // in a table
	text  string
	where string
	base  string // the directory that relative paths start from; empty: the working directory
}

// Limits of values.
const (
	maxTimeout = 24 * time.Hour
	minAge     = time.Hour
	maxAge     = 3650 * 24 * time.Hour
	minBackup  = time.Minute
	maxPeriod  = 366 * 24 * time.Hour
	maxCount   = 1 << 20
	maxItems   = 10_000 // of a list or a table
	maxVoters  = 7      // the replication room keeps three or five; a few more in the list are harmless
)

func setName[T ~string](to *T, it item) error {
	if !skein.ValidName(it.text) {
		return fmt.Errorf("%.80q is no name: want 1 to %d letters, digits, '.', '_' or '-'", it.text, skein.MaxName)
	}
	*to = T(it.text)
	return nil
}

func setDNSName(to *string, it item) error {
	name := strings.TrimSuffix(strings.ToLower(it.text), ".")
	labels := strings.Split(name, ".")
	for _, label := range labels {
		ok := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		for _, c := range []byte(label) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
		}
		if !ok {
			return fmt.Errorf("%.80q is no DNS name: want one like assistant.example.com", it.text)
		}
	}
	if len(labels) < 2 || len(name) > 200 { // 253 less room for the names below the zone
		return fmt.Errorf("%.80q: want a DNS name of two labels or more and at most 200 characters", it.text)
	}
	*to = name
	return nil
}

func setPath(to *string, it item) error {
	path := it.text
	if strings.ContainsRune(path, 0) {
		return fmt.Errorf("%.80q is no path", path)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(it.base, path)
	}
	*to = filepath.Clean(path)
	return nil
}

func setAddrPort(to *netip.AddrPort, it item) error {
	a, err := netip.ParseAddrPort(it.text)
	if err != nil {
		return fmt.Errorf("%.80q is no address: want IP:PORT, as in 192.0.2.7:8443 or [2001:db8::7]:8443%s", it.text, addrHint(it.text))
	}
	*to = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	return nil
}

func addrHint(text string) string {
	host, port, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		return ""
	case host == "":
		return "; all addresses are 0.0.0.0:" + port
	case host == "localhost":
		return "; localhost is 127.0.0.1:" + port
	case strings.Count(text, ":") == 1 && strings.ContainsAny(host, "abcdefghijklmnopqrstuvwxyz"):
		return "; names are not looked up"
	}
	return ""
}

func setAdvertise(to *netip.Addr, it item) error {
	a, err := netip.ParseAddr(it.text)
	if err != nil || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("%.80q: want one IP address without a port that others can dial, as in 192.0.2.7", it.text)
	}
	*to = a.Unmap()
	return nil
}

func addPeer(to *[]netip.AddrPort, it item) error {
	var a netip.AddrPort
	if err := setAddrPort(&a, it); err != nil {
		return err
	}
	if a.Port() == 0 || a.Addr().IsUnspecified() {
		return fmt.Errorf("%s cannot be dialled: name the host's own address and port", a)
	}
	if slices.Contains(*to, a) {
		return fmt.Errorf("%s is listed twice", a)
	}
	*to = append(*to, a)
	return nil
}

func addVoter(to *[]skein.NodeID, it item) error {
	var id skein.NodeID
	if err := setName(&id, it); err != nil {
		return err
	}
	if slices.Contains(*to, id) {
		return fmt.Errorf("%s is listed twice", id)
	}
	if len(*to) == maxVoters {
		return fmt.Errorf("%s is one too many: list at most %d, one of each zone", id, maxVoters)
	}
	*to = append(*to, id)
	return nil
}

func setBool(to *bool, it item) error {
	switch it.text {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return fmt.Errorf("%.80q: want true or false", it.text)
	}
	return nil
}

func setURL(to *string, it item) error {
	u, err := url.Parse(it.text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("want a base URL like http://127.0.0.1:8000/v1") // the text may hold a password
	}
	*to = it.text
	return nil
}

// setDepot takes the address of a place for backups.
func setDepot(to *string, it item) error {
	if err := node.CheckDepot(it.text); err != nil {
		return err
	}
	*to = it.text
	return nil
}

// setPeriod takes a duration of at least least.
func setPeriod(to *time.Duration, it item, least, most time.Duration) error {
	if err := setDuration(to, it, most); err != nil {
		return err
	}
	if *to < least {
		return fmt.Errorf("%s is out of range: want at least %s", *to, least)
	}
	return nil
}

func setDuration(to *time.Duration, it item, most time.Duration) error {
	d, err := time.ParseDuration(it.text)
	if err != nil {
		return fmt.Errorf("%.80q is no duration: want a number with a unit, as in 10s or 500ms", it.text)
	}
	if d <= 0 || d > most {
		return fmt.Errorf("%s is out of range: want more than 0 and at most %s", d, most)
	}
	*to = d
	return nil
}

// setAge reads a duration that may be in days, as in 90d.
func setAge(to *time.Duration, it item) error {
	d, err := time.ParseDuration(it.text)
	if days, ok := strings.CutSuffix(it.text, "d"); ok {
		n, failed := strconv.ParseUint(days, 10, 16)
		d, err = time.Duration(n)*24*time.Hour, failed
	}
	if err != nil {
		return fmt.Errorf("%.80q is no age: want whole days or a number with a unit, as in 90d or 36h", it.text)
	}
	if d < minAge || d > maxAge {
		return fmt.Errorf("%.80s is out of range: want 1h to 3650d", it.text)
	}
	*to = d
	return nil
}

func setRate(to *float64, it item) error {
	f, err := strconv.ParseFloat(it.text, 64)
	if err != nil || !(f >= 0 && f <= maxCount) {
		return fmt.Errorf("%.80q: want a number from 0 to %d", it.text, maxCount)
	}
	*to = f
	return nil
}

func setCount(to *int, it item) error {
	n, err := strconv.Atoi(it.text)
	if err != nil || n < 0 || n > maxCount {
		return fmt.Errorf("%.80q: want a whole number from 0 to %d", it.text, maxCount)
	}
	*to = n
	return nil
}

func setPercent(to *int, it item) error {
	n, err := strconv.Atoi(it.text)
	if err != nil || n < 10 || n > 10_000 {
		return fmt.Errorf("%.80q: want a whole number of percent from 10 to 10000", it.text)
	}
	*to = n
	return nil
}

func setGroups(to *int, it item) error {
	n, err := strconv.Atoi(it.text)
	if err != nil || n < 1 || n > node.MaxGroups {
		return fmt.Errorf("%.80q: want a whole number from 1 to %d", it.text, node.MaxGroups)
	}
	*to = n
	return nil
}

func addPrefix(to *[]node.GeoPrefix, it item) error {
	p, err := netip.ParsePrefix(it.name)
	if err != nil {
		return fmt.Errorf("%.80q is no prefix: want one like 192.0.2.0/24", it.name)
	}
	if p != p.Masked() {
		return fmt.Errorf("%s has bits behind its length: want %s", p, p.Masked())
	}
	if slices.ContainsFunc(*to, func(g node.GeoPrefix) bool { return g.Prefix == p }) {
		return fmt.Errorf("%s is listed twice", p)
	}
	g := node.GeoPrefix{Prefix: p}
	if err := setName(&g.Region, it); err != nil {
		return err
	}
	*to = append(*to, g)
	return nil
}

func addCoordinates(to map[skein.Region]node.Coordinates, it item) error {
	var region skein.Region
	if err := setName(&region, item{text: it.name}); err != nil {
		return err
	}
	if _, taken := to[region]; taken {
		return fmt.Errorf("%s is listed twice", region)
	}
	fields := strings.Fields(it.text)
	if len(fields) != 2 {
		return fmt.Errorf("%.80q: want latitude and longitude in degrees, as in 50.11 8.68", it.text)
	}
	var at [2]float64
	for i, limit := range [2]float64{90, 180} {
		f, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || !(math.Abs(f) <= limit) {
			return fmt.Errorf("%.40q: want degrees from -%v to %v", fields[i], limit, limit)
		}
		at[i] = f
	}
	to[region] = node.Coordinates{Latitude: at[0], Longitude: at[1]}
	return nil
}
