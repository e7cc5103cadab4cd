package node

import (
	"errors"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/replication"
)

// recovery serves operators of a region that has lost its quorum.
type recovery struct{ n *Node }

// Replicas satisfies admin.Recovery.
func (r recovery) Replicas() ([]admin.Replica, error) {
	var out []admin.Replica
	for _, g := range r.n.region.Groups() {
		found, err := g.Replica()
		if err != nil {
			return nil, err
		}
		out = append(out, adminReplica(r.n.cfg.Node, &found))
	}
	return out, nil
}

func adminReplica(node skein.NodeID, r *replication.Replica) admin.Replica {
	return admin.Replica{
		Group: r.Group, Node: node, Epoch: r.Epoch, Last: r.Last, LastTerm: r.LastTerm, Applied: r.Applied,
		Sessions: r.Sessions, Voters: r.Voters, Fenced: r.Fenced, Leader: r.Leader,
	}
}

// Recover satisfies admin.Recovery. The node stops with the first order and starts again in the same process; those of
// the other groups are on the disk by then.
func (r recovery) Recover(groups []uint32, epoch uint64) error {
	var chosen []*replication.Group
	for _, number := range groups {
		g, err := r.n.groupNumber(number)
		if err != nil {
			return err
		}
		chosen = append(chosen, g)
	}
	return replication.OrderRecovery(chosen, epoch)
}

// again reports whether a node that ended with err is to be opened anew in this process.
func again(err error) bool { return errors.Is(err, replication.ErrReopen) }
