package node

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/mesh"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/telemetry"
)

// scraper brings into the registry what the rooms know without counting it, each time that somebody reads it.
type scraper struct {
	n *Node

	mu      sync.Mutex // one at a time: counters are raised by differences
	regions map[skein.Region]bool
}

// maxRegions bounds the regions that get gauges of their own.
const maxRegions = 64

func (s *scraper) scrape() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members()
	for i, g := range s.n.region.Groups() {
		s.group(label("group", strconv.Itoa(i)), g)
	}
	s.dns()
	s.n.meters.Gauge("skein_turns_running", "Turns that run at this node.").Set(float64(s.n.desk.Running()))
}

// members counts the membership by region and status; what has come to nothing stays as 0.
func (s *scraper) members() {
	count := map[skein.Region]map[mesh.Status]int{}
	for _, m := range s.n.mesh.Members() {
		if count[m.Region] == nil {
			count[m.Region] = map[mesh.Status]int{}
		}
		count[m.Region][m.Status]++
		if s.regions[m.Region] || len(s.regions) < maxRegions {
			s.regions[m.Region] = true
		}
	}
	for region := range s.regions {
		for status := mesh.Alive; status <= mesh.Left; status++ {
			s.n.meters.Gauge("skein_members", "Nodes as this one sees them, by region and status.",
				label("region", string(region)), label("status", status.String())).Set(float64(count[region][status]))
		}
	}
}

// group shows where this node's replica of one group stands.
func (s *scraper) group(number telemetry.Label, g *replication.Group) {
	set := func(name, help string, v float64) { s.n.meters.Gauge(name, help, number).Set(v) }
	st := g.Status()
	set("skein_group_leader", "1 while this node leads the group.", truth(st.Role == "leader"))
	set("skein_group_voter", "1 while this node votes in the group.", truth(slices.Contains(st.Voters, s.n.cfg.Node)))
	set("skein_group_quorum", "1 while the group has a leader that this node hears.", truth(g.Quorum()))
	set("skein_group_survives_zone", "1 while the group keeps its majority if any one zone is lost.", truth(st.SurvivesZone && s.n.oneZoneToSpare(st.Voters)))
	set("skein_group_fenced", "1 while this node has set its state aside and rebuilds it.", truth(st.Fenced))
	set("skein_group_disk_hung", "1 while a write to the log has run for more than two seconds.", truth(st.DiskHung))
	set("skein_group_disk_free_bytes", "Bytes left on the disk of the replica; 0 where they are not known.", float64(st.DiskFree))
	set("skein_group_disk_mark", "How full that disk is: 0, 1 from the soft mark on, 2 from the hard one.", diskMark(st.DiskMark))
	set("skein_group_election_timeout_seconds", "Silence of a leader before an election; grows with slow disks and frequent elections.", st.Heartbeat.Seconds())
	set("skein_group_voters", "Voters of the group.", float64(len(st.Voters)))
	set("skein_group_term", "Raft's term.", float64(st.Term))
	set("skein_group_commit_index", "Log index that this node knows to be committed.", float64(st.Commit))
	set("skein_group_applied_index", "Log index that this node's memory has.", float64(st.Applied))
	set("skein_group_durable_index", "Log index that this node's database has.", float64(st.Durable))
	sessions := func(phase string, n int) {
		s.n.meters.Gauge("skein_group_sessions", "Sessions in this node's replica, by phase. Of purged and erased ones only the location is left.",
			number, label("phase", phase)).Set(float64(n))
	}
	sessions("open", st.Sessions-st.Closed)
	sessions("closed", st.Closed)
	sessions("purged", st.Purged)
	sessions("erased", st.Erased)
	if !st.Calendar.IsZero() {
		set("skein_group_calendar_seconds", "The group's wall time, seconds since 1970, by which the ages of sessions are counted.", float64(st.Calendar.Unix()))
	}
	set("skein_dead_letters", "Dead turns in this node's replica that no operator has retried or dropped.", float64(st.DeadLetters))
	set("skein_group_open_turns", "Turns in this node's replica that wait for their reply.", float64(st.OpenTurns))
}

// dns takes over what the DNS server has counted.
func (s *scraper) dns() {
	if s.n.dns == nil {
		return
	}
	st := s.n.dns.Stats()
	raise := func(c *telemetry.Counter, to uint64) { c.Add(to - min(to, c.Value())) }
	for rcode, v := range map[string]uint64{
		"noerror": st.NoError, "formerr": st.FormErr, "nxdomain": st.NXDomain, "notimp": st.NotImp, "refused": st.Refused, "badvers": st.BadVers,
	} {
		raise(s.n.meters.Counter("skein_dns_answers_total", "DNS answers, by response code; formerr, notimp and badvers are malformed requests.", label("rcode", rcode)), v)
	}
	for transport, v := range map[string]uint64{"udp": st.UDP, "tcp": st.TCP} {
		raise(s.n.meters.Counter("skein_dns_requests_total", "DNS requests that were answered, by transport.", label("transport", transport)), v)
	}
	raise(s.n.meters.Counter("skein_dns_dropped_total", "Packets to the DNS server that are no request, or came before it knew the mesh."), st.Dropped)
	raise(s.n.meters.Counter("skein_dns_truncated_total", "DNS answers that did not fit over UDP."), st.Truncated)
	raise(s.n.meters.Counter("skein_dns_rejected_total", "TCP connections to the DNS server over the limit."), st.Rejected)
}

func diskMark(mark string) float64 {
	switch mark {
	case "soft":
		return 1
	case "hard":
		return 2
	}
	return 0
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// timedStore is the region's groups, with the time of each proposal taken.
type timedStore struct {
	*replication.Region
	took   *telemetry.Histogram
	failed func(skein.Code)
}

func (n *Node) timed() timedStore {
	return timedStore{
		Region: n.region,
		took:   n.meters.Histogram("skein_commit_seconds", "From a proposal of this node's turns to its commit.", telemetry.Seconds()),
		failed: func(c skein.Code) {
			n.meters.Counter("skein_commit_errors_total", "Proposals of this node's turns that were not known to be committed, by code.", label("code", c.String())).Inc()
		},
	}
}

// Propose satisfies turn.Store.
func (s timedStore) Propose(ctx context.Context, cmds ...session.Command) ([]session.Result, error) {
	began := time.Now()
	res, err := s.Region.Propose(ctx, cmds...)
	if err != nil {
		s.failed(skein.CodeOf(err))
		return res, err
	}
	s.took.Since(began)
	return res, nil
}

// badStream counts a question of another node that cannot be read.
func (n *Node) badStream(service string) {
	n.meters.Counter("skein_node_malformed_total", "Questions of other nodes that this one could not read, by service.", label("service", service)).Inc()
}
