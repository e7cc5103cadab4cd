package meshfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/skein-mesh/skein"
)

// maxFile bounds a mesh.json, in bytes.
const maxFile = 1 << 20

// File is mesh.json. Relative paths in it are relative to its own directory.
type File struct {
	Service        string `json:"service"`          // DNS zone, TLS server name and token audience
	CAFile         string `json:"ca_file"`          // PEM
	TokenFile      string `json:"token_file"`       // a client's bearer token
	AdminTokenFile string `json:"admin_token_file"` // of the nodes' admin endpoints
	Nodes          []Node `json:"nodes"`
}

// Node is one node of a mesh. Addresses are "ip:port".
type Node struct {
	ID     skein.NodeID `json:"id"`
	Region skein.Region `json:"region"`
	Zone   skein.Zone   `json:"zone"`
	PID    int          `json:"pid"` // 0: not running, or not known
	QUIC   string       `json:"quic"`
	HTTPS  string       `json:"https"`
	DNS    string       `json:"dns"`
	Admin  string       `json:"admin"`
}

// Read reads and checks path; the paths in the result are absolute.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("mesh file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("mesh file %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("mesh file %s: more than %d bytes", path, maxFile)
	}
	mesh, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("mesh file %s: %w", path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("mesh file %s: %w", path, err)
	}
	for _, p := range []*string{&mesh.CAFile, &mesh.TokenFile, &mesh.AdminTokenFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return mesh, nil
}

// Parse reads and checks the bytes of a mesh.json; all faults are told at once.
func Parse(data []byte) (*File, error) {
	var f File
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&f); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n")), err)
		}
		return nil, fmt.Errorf("not a mesh: %w", err)
	}
	return &f, f.validate()
}

func (f *File) validate() error {
	switch {
	case f.Service == "":
		return errors.New(`"service" is missing`)
	case f.CAFile == "":
		return errors.New(`"ca_file" is missing`)
	case len(f.Nodes) == 0:
		return errors.New(`"nodes" is empty`)
	}
	seen := map[skein.NodeID]bool{}
	for _, n := range f.Nodes {
		if !skein.ValidName(string(n.ID)) || !skein.ValidName(string(n.Region)) || !skein.ValidName(string(n.Zone)) {
			return fmt.Errorf("node %.80q in region %.80q, zone %.80q: these are no names", n.ID, n.Region, n.Zone)
		}
		if seen[n.ID] {
			return fmt.Errorf("node %s is listed twice", n.ID)
		}
		seen[n.ID] = true
		for _, addr := range []string{n.QUIC, n.HTTPS, n.DNS, n.Admin} {
			if _, err := netip.ParseAddrPort(addr); addr != "" && err != nil {
				return fmt.Errorf("node %s: address %.80q: want IP:PORT", n.ID, addr)
			}
		}
	}
	return nil
}

// Node finds a node by its id.
func (f *File) Node(id skein.NodeID) (Node, error) {
	for _, n := range f.Nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return Node{}, skein.Fault(skein.CodeUnknownNode, "%s is not in this mesh; `skein members` lists its nodes", id)
}

// Write replaces path with f.
func (f *File) Write(path string) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return Replace(path, append(data, '\n'), 0o600)
}

// Replace puts data in the place of path in one step: a reader sees the old bytes or the new ones, and so
// does the next start after a crash.
func Replace(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
