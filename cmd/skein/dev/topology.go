package dev

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skein-mesh/skein"
)

// DefaultRegions is the mesh that `skein dev` starts unless told otherwise.
const DefaultRegions = "eu=a,b,c;us=a,b,c;ap=a,b,c"

// Limits of a plan; the address 127.0.R.N has one byte for each number.
const (
	maxRegions = 16
	maxNodes   = 64
)

// topology is the nodes of a mesh in the order in which they were written.
type topology []regionPlan

type regionPlan struct {
	name  skein.Region
	nodes []skein.Place
}

// parseRegions reads "eu=a,a,b;us=a": two nodes in zone a of eu, one in b, one in zone a of us.
func parseRegions(s string) (topology, error) {
	var t topology
	seen := map[skein.NodeID]bool{}
	for part := range strings.SplitSeq(s, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		r, err := parseRegion(part)
		if err != nil {
			return nil, fmt.Errorf("--regions: %w", err)
		}
		if slices.ContainsFunc(t, func(o regionPlan) bool { return o.name == r.name }) {
			return nil, fmt.Errorf("--regions: region %s is given twice", r.name)
		}
		for _, n := range r.nodes {
			if seen[n.Node] {
				return nil, fmt.Errorf("--regions: two nodes would be called %s; choose other names", n.Node)
			}
			seen[n.Node] = true
		}
		t = append(t, r)
	}
	if len(t) == 0 || len(t) > maxRegions || len(seen) > maxNodes {
		return nil, fmt.Errorf("--regions %.200q: want 1 to %d regions and at most %d nodes, as in %q", s, maxRegions, maxNodes, DefaultRegions)
	}
	return t, nil
}

func parseRegion(s string) (regionPlan, error) {
	name, zones, ok := strings.Cut(strings.TrimSpace(s), "=")
	name = strings.TrimSpace(name)
	if !ok {
		return regionPlan{}, fmt.Errorf("%.80q: want REGION=ZONE,ZONE,..., as in eu=a,b,c", s)
	}
	if !skein.ValidName(name) {
		return regionPlan{}, fmt.Errorf("%.80q is no name for a region: use letters, digits, '.', '_' and '-'", name)
	}
	r := regionPlan{name: skein.Region(name)}
	count := map[string]int{}
	for zone := range strings.SplitSeq(zones, ",") {
		zone = strings.TrimSpace(zone)
		if !skein.ValidName(zone) {
			return regionPlan{}, fmt.Errorf("region %s: %.80q is no name for a zone", name, zone)
		}
		count[zone]++
		id := fmt.Sprintf("%s-%s-%d", name, zone, count[zone])
		if !skein.ValidName(id) {
			return regionPlan{}, fmt.Errorf("node id %.80s...: longer than %d bytes", id, skein.MaxName)
		}
		r.nodes = append(r.nodes, skein.Place{Node: skein.NodeID(id), Region: r.name, Zone: skein.Zone(zone)})
	}
	return r, nil
}

// String gives the form that parseRegions reads, without what it ignores.
func (t topology) String() string {
	parts := make([]string, 0, len(t))
	for _, r := range t {
		zones := make([]string, 0, len(r.nodes))
		for _, n := range r.nodes {
			zones = append(zones, string(n.Zone))
		}
		parts = append(parts, string(r.name)+"="+strings.Join(zones, ","))
	}
	return strings.Join(parts, ";")
}

// voters gives the nodes that form the region's group: one a zone, five from five zones on, otherwise three;
// with fewer zones than that, further nodes of the same zones.
func (r regionPlan) voters() []skein.NodeID {
	zones := r.zones()
	want := 3
	if len(zones) >= 5 {
		want = 5
	}
	var ids []skein.NodeID
	for round := 0; len(ids) < want && round < len(r.nodes); round++ {
		for _, zone := range zones {
			if n := r.nth(zone, round); n != "" && len(ids) < want {
				ids = append(ids, n)
			}
		}
	}
	return ids
}

// zones gives the region's zones in the order in which they were first written.
func (r regionPlan) zones() []skein.Zone {
	var zones []skein.Zone
	for _, n := range r.nodes {
		if !slices.Contains(zones, n.Zone) {
			zones = append(zones, n.Zone)
		}
	}
	return zones
}

// nth gives the node of zone that i others of it stand before, "" when there is none.
func (r regionPlan) nth(zone skein.Zone, i int) skein.NodeID {
	for _, n := range r.nodes {
		if n.Zone != zone {
			continue
		}
		if i == 0 {
			return n.Node
		}
		i--
	}
	return ""
}
