package admin

import (
	"bytes"
	"cmp"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"time"

	"github.com/skein-mesh/skein"
)

// status writes everything at once.
func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	groups := s.listGroups()
	write(w, http.StatusOK, Status{
		Node: s.cfg.Node, Region: s.cfg.Region, Zone: s.cfg.Zone, Incarnation: s.cfg.Incarnation,
		Build: s.cfg.Build, PID: os.Getpid(), Uptime: time.Since(s.started).Seconds(),
		Live: verdict(s.cfg.Health.Live()), Ready: verdict(s.cfg.Health.Ready()),
		Goroutines: runtime.NumGoroutine(), Heap: heapBytes(), RSS: residentBytes(),
		Group: groups[0], Groups: groups, Regions: s.listRegions(groups), Members: s.listMembers(),
	})
}

// listMembers gives the members in order of their ids, and never null in JSON.
func (s *Server) listMembers() []Member {
	list := slices.Clone(s.cfg.Mesh.Members())
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Node, b.Node) })
	for i := range list {
		list[i].QUIC, list[i].HTTPS = listed(list[i].QUIC), listed(list[i].HTTPS)
	}
	return listed(list)
}

// listGroups gives the groups with no list that is null in JSON.
func (s *Server) listGroups() []GroupStatus {
	groups := s.cfg.Groups.Status()
	for i := range groups {
		groups[i].Voters, groups[i].Spares = listed(groups[i].Voters), listed(groups[i].Spares)
	}
	return groups
}

// listRegions sums the members up; what only the region itself knows is filled in for the local one.
func (s *Server) listRegions(groups []GroupStatus) []Region {
	byName := map[skein.Region]*Region{}
	var names []skein.Region
	for _, m := range s.cfg.Mesh.Members() {
		r := byName[m.Region]
		if r == nil {
			r = &Region{Region: m.Region}
			byName[m.Region] = r
			names = append(names, m.Region)
		}
		r.count(m)
	}
	slices.Sort(names)
	list := make([]Region, 0, len(names))
	for _, name := range names {
		r := byName[name]
		if name == s.cfg.Region {
			r.local(groups)
		}
		r.Leaders = listed(r.Leaders)
		slices.SortFunc(r.Zones, func(a, b Zone) int { return cmp.Compare(a.Zone, b.Zone) })
		list = append(list, *r)
	}
	return list
}

// local fills in what only the region itself knows.
func (r *Region) local(groups []GroupStatus) {
	r.Local, r.Leader, r.Quorum, r.SurvivesZone = true, groups[0].Leader, true, true
	for _, g := range groups {
		r.Leaders = append(r.Leaders, g.Leader)
		r.Quorum = r.Quorum && g.Quorum
		r.SurvivesZone = r.SurvivesZone && g.SurvivesZone
	}
}

// count takes one member in. A suspect still counts as alive: it is demoted, not lost.
func (r *Region) count(m Member) {
	at := slices.IndexFunc(r.Zones, func(z Zone) bool { return z.Zone == m.Zone })
	if at < 0 {
		at = len(r.Zones)
		r.Zones = append(r.Zones, Zone{Zone: m.Zone})
	}
	r.Nodes++
	r.Zones[at].Nodes++
	if m.Draining {
		r.Draining++
	}
	if m.Status != "alive" && m.Status != "suspect" {
		return
	}
	r.Alive++
	r.Zones[at].Alive++
	if m.Voter {
		r.Voters++
	}
}

// listed gives an empty list for nil, since JSON would say null.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// heapBytes reads one counter of the runtime; it stops nothing, unlike runtime.ReadMemStats.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// residentBytes reads the second field of proc(5) statm, which is in pages.
func residentBytes() uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
