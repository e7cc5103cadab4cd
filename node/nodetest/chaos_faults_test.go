package nodetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
)

// fault is one thing that goes wrong for a while. at and heal are counted from the begin of the schedule.
type fault struct {
	at, heal time.Duration
	kind     string
	node     *Process   // kill, stop, drain
	zone     skein.Zone // cut, cut-out, cut-in
	loss     float64
	latency  time.Duration
}

func (f fault) String() string {
	what := ""
	switch {
	case f.node != nil:
		what = string(f.node.ID)
	case f.zone != "":
		what = "zone " + string(f.zone)
	case f.loss > 0:
		what = fmt.Sprintf("%.0f %%", 100*f.loss)
	default:
		what = f.latency.String()
	}
	return fmt.Sprintf("%6.2fs-%5.2fs %s %s", f.at.Seconds(), f.heal.Seconds(), f.kind, what)
}

// schedule draws faults that begin within length. They overlap, but no node and no zone has two at once.
func schedule(rng *rand.Rand, nodes []*Process, length time.Duration) []fault {
	var out []fault
	busy := make(map[string]time.Duration)
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(rng.Int64N(int64(most-least)))
	}
	for at := between(0, 2*time.Second); at < length; at += between(300*time.Millisecond, 5*time.Second) {
		f := fault{at: at, heal: at + between(300*time.Millisecond, 6*time.Second)}
		n := nodes[rng.IntN(len(nodes))]
		key := string(n.ID)
		switch k := rng.IntN(10); {
		case k < 3:
			f.kind, f.node = "kill", n
			if rng.IntN(4) == 0 {
				f.heal += between(10*time.Second, 20*time.Second) // long enough to be replaced
			}
		case k < 4:
			f.kind, f.node = "stop", n
		case k < 5:
			f.kind, f.node = "drain", n
		case k < 8:
			f.kind, f.zone, key = []string{"cut", "cut-out", "cut-in"}[k-5], n.Zone, "zone"
		case k < 9:
			f.kind, f.loss, key = "loss", 0.02+0.28*rng.Float64(), "weather"
		default:
			f.kind, f.latency, key = "latency", between(5*time.Millisecond, 120*time.Millisecond), "weather"
		}
		if at < busy[key] {
			continue
		}
		busy[key] = f.heal + 3*time.Second // a stop takes its time
		out = append(out, f)
	}
	return out
}

// storm carries a schedule out. It belongs to the test's goroutine.
type storm struct {
	m      *Mesh
	active []fault
	voters map[int][]skein.NodeID // of each group, as its last leader said
	fair   []span                 // when the group could be expected to work
}

type span struct{ from, to time.Time }

// overlap is how long both lasted.
func (s span) overlap(o span) time.Duration {
	from, to := s.from, s.to
	if o.from.After(from) {
		from = o.from
	}
	if o.to.Before(to) {
		to = o.to
	}
	return max(0, to.Sub(from))
}

// lookEvery is how often the storm judges its own weather.
const lookEvery = 50 * time.Millisecond

// fairLatency is one way; beyond it a round trip and some jitter are more than the lease of a leader.
const fairLatency = 40 * time.Millisecond

// wait lets time pass and notes when the weather was fair: a majority of the voters runs in zones that are not cut, and
// no packet is lost or late. Clients are in no zone, so they reach those nodes.
func (s *storm) wait(until time.Time) {
	for {
		if s.isFair() {
			now := time.Now()
			if n := len(s.fair); n > 0 && now.Sub(s.fair[n-1].to) <= lookEvery {
				s.fair[n-1].to = now
			} else {
				s.fair = append(s.fair, span{now, now})
			}
		}
		left := time.Until(until)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, lookEvery))
	}
}

func (s *storm) isFair() bool {
	cut := make(map[skein.Zone]bool)
	for _, f := range s.active {
		if f.loss > 0 || f.latency > fairLatency {
			return false
		}
		cut[f.zone] = true
	}
	up := make(map[skein.NodeID]bool)
	for _, p := range s.m.Running() {
		up[p.ID] = !cut[p.Zone]
		for i, g := range p.node.Region().Groups() {
			if st := g.Status(); st.Role == "leader" && up[p.ID] {
				s.voters[i] = st.Voters
			}
		}
	}
	for _, voters := range s.voters {
		well := 0
		for _, v := range voters {
			if up[v] {
				well++
			}
		}
		if 2*well <= len(voters) {
			return false
		}
	}
	return true
}

// run begins and heals every fault at its time.
func (s *storm) run(faults []fault) {
	type moment struct {
		at    time.Duration
		begin bool
		fault fault
	}
	var moments []moment
	for _, f := range faults {
		moments = append(moments, moment{f.at, true, f}, moment{f.heal, false, f})
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	start := time.Now()
	for _, x := range moments {
		s.wait(start.Add(x.at))
		if x.begin {
			s.begin(x.fault)
		} else {
			s.end(x.fault)
		}
	}
}

func (s *storm) begin(f fault) {
	switch f.kind {
	case "kill":
		s.m.Kill(f.node.ID)
	case "stop":
		s.m.stopSoon(f.node)
	case "drain":
		f.node.node.SetDraining(true)
	default:
		s.active = append(s.active, f)
		s.blow()
	}
}

func (s *storm) end(f fault) {
	switch f.kind {
	case "kill", "stop":
		s.m.Start(f.node.ID)
	case "drain":
		f.node.node.SetDraining(false)
	default:
		s.active = slices.DeleteFunc(s.active, func(g fault) bool { return g == f })
		s.blow()
	}
}

// stopSoon is Stop without waiting.
func (m *Mesh) stopSoon(p *Process) {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// blow tells the network of all faults that are in force.
func (s *storm) blow() {
	loss, latency := 0.0, time.Millisecond
	var cuts []func(from, to netip.Addr) bool
	for _, f := range s.active {
		loss, latency = max(loss, f.loss), max(latency, f.latency)
		if !strings.HasPrefix(f.kind, "cut") {
			continue
		}
		inside := make(map[netip.Addr]bool)
		for _, p := range s.m.nodes {
			inside[p.Addr] = p.Zone == f.zone
		}
		out, in := f.kind != "cut-in", f.kind != "cut-out"
		cuts = append(cuts, func(from, to netip.Addr) bool {
			return out && inside[from] && !inside[to] || in && !inside[from] && inside[to]
		})
	}
	s.m.Net.Loss(loss)
	s.m.Net.Latency(func(_, _ netip.Addr) time.Duration { return latency })
	s.m.Net.Cut(func(from, to netip.Addr) bool {
		return slices.ContainsFunc(cuts, func(c func(from, to netip.Addr) bool) bool { return c(from, to) })
	})
}
