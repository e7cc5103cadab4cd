package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// askTimeout bounds one question to an admin endpoint; drain orders may be forwarded. Where another node can be asked
// instead, a silent one is given up after anyTimeout.
const (
	askTimeout = admin.RequestTimeout + 2*time.Second // so that it has answered before
	anyTimeout = 3 * time.Second
)

// maxAnswer bounds an answer of an admin endpoint, in bytes.
const maxAnswer = 16 << 20

// operator asks the admin endpoints of a mesh.
type operator struct {
	mesh  *meshfile.File
	token string
	http  *http.Client
}

func newOperator(m *meshfile.File) (*operator, error) {
	token, err := secretLine(m.AdminTokenFile, "admin token")
	if err != nil {
		return nil, err
	}
	return &operator{mesh: m, token: token, http: &http.Client{Timeout: askTimeout}}, nil
}

// ask sends one request to one node and decodes the answer into out. What the node refuses is a *skein.Error.
func (o *operator) ask(ctx context.Context, n meshfile.Node, method, path string, out any) error {
	if n.Admin == "" {
		return fmt.Errorf("the mesh file has no admin address of %s", n.ID)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.Admin+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", n.ID, err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := o.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			if u.Timeout() {
				return fmt.Errorf("ask %s at %s: %w: `skein groups` shows whether its region has a quorum", n.ID, n.Admin, errSilent)
			}
			err = u.Err // the address is told anyway
		}
		return fmt.Errorf("ask %s at %s: %w", n.ID, n.Admin, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask %s: %w", n.ID, err)
	}
	if resp.StatusCode != http.StatusOK {
		var f admin.Failure
		if json.Unmarshal(body, &f) == nil && f.Error.Number != 0 {
			return &skein.Error{Code: f.Error.Number, Detail: f.Error.Message}
		}
		return fmt.Errorf("ask %s: %s", n.ID, resp.Status)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("ask %s: answer of %s: %w", n.ID, path, err)
	}
	return nil
}

// errNoNodes: there is nobody to ask; errSilent: a node is there and does not answer.
var (
	errNoNodes = errors.New("the mesh file has no node of that region: `skein regions` lists what there is")
	errSilent  = errors.New("no answer in time")
)

// any asks the nodes for which want holds, living ones first, until one answers. When none does, a reason that a node gave
// is told rather than that another one was not reached.
func (o *operator) any(ctx context.Context, want func(meshfile.Node) bool, path string, out any) error {
	var last why
	for _, n := range livingFirst(o.mesh.Nodes) {
		if !want(n) {
			continue
		}
		patient, cancel := context.WithTimeout(ctx, anyTimeout)
		err := o.ask(patient, n, http.MethodGet, path, out)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		last.add(err)
		if skein.CodeOf(err) == skein.CodeUnauthenticated {
			return err // the others have the same token
		}
	}
	if last.err == nil {
		return errNoNodes
	}
	return fmt.Errorf("no node answers: %w", last.err)
}

// why keeps the most telling of several errors, the last one of these: what a node said, that one was silent, any other.
type why struct {
	err  error
	rank int
}

func (w *why) add(err error) {
	rank := 0
	if _, told := errors.AsType[*skein.Error](err); told {
		rank = 2
	} else if errors.Is(err, errSilent) {
		rank = 1
	}
	if rank >= w.rank {
		w.err, w.rank = err, rank
	}
}

// livingFirst puts nodes that are known to be dead last.
func livingFirst(nodes []meshfile.Node) []meshfile.Node {
	var living, dead []meshfile.Node
	known := false // whether the file has process ids at all
	for _, n := range nodes {
		if n.PID != 0 {
			known = true
			living = append(living, n)
		} else {
			dead = append(dead, n)
		}
	}
	if !known {
		return nodes
	}
	return append(living, dead...)
}

// regions gives the mesh's regions in the file's order.
func (o *operator) regions() []skein.Region {
	var names []skein.Region
	seen := map[skein.Region]bool{}
	for _, n := range o.mesh.Nodes {
		if !seen[n.Region] {
			seen[n.Region] = true
			names = append(names, n.Region)
		}
	}
	return names
}

func everyNode(meshfile.Node) bool { return true }

func inRegion(r skein.Region) func(meshfile.Node) bool {
	return func(n meshfile.Node) bool { return n.Region == r }
}
