package admin

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/skein-mesh/skein"
)

// Recovery is what a node does for a region that has lost its quorum.
type Recovery interface {
	// Replicas tells where the local replicas stand, one a group.
	Replicas() ([]Replica, error)
	// Recover makes the local replicas of groups go on alone, in a new cluster epoch, soon after it returns.
	Recover(groups []uint32, epoch uint64) error
}

// Replica is where one replica stands, as GET /v1/replicas shows it.
type Replica struct {
	Group    uint32         `json:"group"`
	Node     skein.NodeID   `json:"node"`
	Epoch    uint64         `json:"epoch"`     // of the group's cluster; 0: there is no state
	Last     uint64         `json:"last"`      // index of the last log entry
	LastTerm uint64         `json:"last_term"` // of that entry
	Applied  uint64         `json:"applied"`
	Sessions uint64         `json:"sessions"`
	Voters   []skein.NodeID `json:"voters"`
	Fenced   bool           `json:"fenced"` // it has lost state and may lack what was acknowledged
	Leader   skein.NodeID   `json:"leader"` // that is heard
}

// ReplicaList is the answer of GET /v1/replicas.
type ReplicaList struct {
	Region   skein.Region `json:"region"`
	Replicas []Replica    `json:"replicas"`
}

// Recovered is the answer of POST /v1/recover.
type Recovered struct {
	Node   skein.NodeID `json:"node"`
	Groups []uint32     `json:"groups"`
	Epoch  uint64       `json:"epoch"`
}

func (s *Server) replicas(w http.ResponseWriter, _ *http.Request) {
	list, err := s.cfg.Recovery.Replicas()
	if err != nil {
		s.fail(w, err)
		return
	}
	write(w, http.StatusOK, ReplicaList{Region: s.cfg.Region, Replicas: listed(list)})
}

func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if region := skein.Region(q.Get("region")); region != s.cfg.Region {
		s.fail(w, skein.Fault(skein.CodeMalformed, "region %.80q: this node is of region %s", region, s.cfg.Region))
		return
	}
	epoch, err := strconv.ParseUint(q.Get("epoch"), 10, 64)
	if err != nil || epoch < 2 {
		s.fail(w, skein.Fault(skein.CodeMalformed, "epoch %.40q: want the number of a new cluster epoch", q.Get("epoch")))
		return
	}
	var groups []uint32
	for text := range strings.SplitSeq(q.Get("groups"), ",") {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			s.fail(w, skein.Fault(skein.CodeMalformed, "groups %.40q: want their numbers as 0,1", q.Get("groups")))
			return
		}
		groups = append(groups, uint32(n))
	}
	if err := s.cfg.Recovery.Recover(groups, epoch); err != nil {
		s.fail(w, err)
		return
	}
	s.cfg.Log.Warn("recovery ordered by an operator", "groups", groups, "epoch", epoch)
	write(w, http.StatusOK, Recovered{Node: s.cfg.Node, Groups: groups, Epoch: epoch})
}
