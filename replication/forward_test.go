package replication

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// TestCallerThatGivesUpKeepsTheLeader: on a node without a replica, one caller's end must not end what others wait for.
func TestCallerThatGivesUpKeepsTheLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.start("a1", "b1", "c1", "d1")
		c.propose(c.leader(), openCmd(1))
		out := c.nodes["d1"]
		type got struct {
			st  *session.State
			err error
		}
		stays := make(chan got, 1)
		go func() {
			st, err := out.Read(t.Context(), sid(1), 1)
			stays <- got{st, err}
		}()
		c.until("a leader known outside", 5*time.Second, func() bool { return out.Quorum() })
		time.Sleep(100 * time.Millisecond) // the read waits at the leader
		changed := out.LeaderChanged()

		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := out.Read(short, sid(1), 1)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, skein.ErrNoQuorum) {
			t.Errorf("read with a short deadline: got %v, want %v as %v", err, context.DeadlineExceeded, skein.ErrNoQuorum)
		}
		if errors.Is(err, skein.ErrUnknownOutcome) || strings.Contains(err.Error(), errUnknown.Error()) {
			t.Errorf("read with a short deadline: got %q, but a read has no outcome", err)
		}
		leaves := errors.New("the client has left")
		gone, leave := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { leave(leaves) })
		if _, err := out.Read(gone, sid(1), 1); !errors.Is(err, leaves) {
			t.Errorf("read that is given up: got %v, want %v", err, leaves)
		}
		select {
		case <-changed:
			t.Error("the leader counts as changed")
		default:
		}
		if !out.Quorum() {
			t.Error("no quorum, as seen by a node whose callers gave up")
		}
		c.propose(out, sayCmd(1, 1, 1))
		if g := <-stays; g.err != nil || g.st.Seq != 3 {
			t.Errorf("the other read: got %+v, %v", g.st, g.err)
		}
	})
}
