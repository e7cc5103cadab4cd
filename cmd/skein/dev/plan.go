package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/config"
)

// planFile is the name of the plan in the directory of a dev mesh.
const planFile = "dev.json"

// plan is what a directory was made for. A later start on it keeps all of it.
type plan struct {
	Regions    string `json:"regions"`
	Ports      Ports  `json:"ports"`
	OneAddress bool   `json:"one_address"`
	Groups     int    `json:"groups,omitempty"` // of each region; 0: 1
}

// settled is what a start is going to do. It is found out before anything is made.
type settled struct {
	plan     plan
	topology topology
	at       map[skein.NodeID]endpoints
	prefixes []place
	resumed  bool
	edition  string // stamp of the assistant that was checked
}

// settle checks the flags, alone and against the plan that the directory may hold.
func settle(opts Options) (*settled, error) {
	asked := plan{Ports: opts.Ports, OneAddress: opts.OneAddress, Groups: opts.Groups}
	if opts.Regions != "" {
		t, err := parseRegions(opts.Regions)
		if err != nil {
			return nil, err
		}
		asked.Regions = t.String()
	}
	if opts.Groups != 0 {
		if err := config.CheckValue("groups", strconv.Itoa(opts.Groups)); err != nil {
			return nil, fmt.Errorf("--groups: %w", err)
		}
	}
	if opts.Model != "" {
		if err := config.CheckValue("model.url", opts.Model); err != nil {
			return nil, fmt.Errorf("--model: %w", err)
		}
	}
	var s settled
	s.edition = fileStamp(opts.Assistant)
	if opts.Assistant != "" && opts.CheckAssistant != nil {
		if err := opts.CheckAssistant(); err != nil {
			return nil, fmt.Errorf("--assistant: %s", firstLines(err, "; "))
		}
	}
	var err error
	if s.plan, s.resumed, err = resume(opts.Dir, asked); err != nil {
		return nil, err
	}
	s.plan.OneAddress = s.plan.OneAddress || onlyOneAddress()
	if s.topology, err = parseRegions(s.plan.Regions); err != nil {
		return nil, err
	}
	if s.at, err = assign(s.topology, s.plan.Ports, s.plan.OneAddress); err != nil {
		return nil, err
	}
	s.prefixes, err = s.topology.prefixes(opts.GeoFile)
	return &s, err
}

// resume gives the plan that dir holds, when nothing that is asked for contradicts it, or else the one that is asked
// for, completed by defaults. The nodes of a region know each other's names and addresses, so a plan does not change.
func resume(dir string, asked plan) (p plan, resumed bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, planFile))
	if dir == "" || errors.Is(err, fs.ErrNotExist) {
		if asked.Regions == "" {
			asked.Regions = DefaultRegions
		}
		asked.Ports = asked.Ports.or(DefaultPorts)
		return asked, false, nil
	}
	if err != nil {
		return plan{}, false, fmt.Errorf("--dir: %w; choose a directory that you may read", err)
	}
	var saved plan
	if err := json.Unmarshal(data, &saved); err != nil {
		return plan{}, false, fmt.Errorf("%s: %w; choose another --dir", filepath.Join(dir, planFile), err)
	}
	return saved, true, saved.refuse(dir, asked)
}

// refuse says what of asked contradicts the plan of dir.
func (p plan) refuse(dir string, asked plan) error {
	if asked.Regions != "" && asked.Regions != p.Regions {
		return fmt.Errorf("%s holds the mesh %q, not %q: leave --regions away to resume it, or choose another --dir", dir, p.Regions, asked.Regions)
	}
	if asked.Groups != 0 && asked.Groups != max(p.Groups, 1) {
		return fmt.Errorf("%s holds a mesh with %d groups in each region, not %d: leave --groups away to resume it, or choose another --dir", dir, max(p.Groups, 1), asked.Groups)
	}
	if asked.OneAddress && !p.OneAddress {
		return fmt.Errorf("%s holds a mesh with an address for each node: leave --one-address away to resume it, or choose another --dir", dir)
	}
	for _, port := range []struct {
		asked, saved int
		what         string
	}{
		{asked.Ports.Client, p.Ports.Client, "port"}, {asked.Ports.DNS, p.Ports.DNS, "DNS port"}, {asked.Ports.Admin, p.Ports.Admin, "admin port"},
		{asked.Ports.Gossip, p.Ports.Gossip, "gossip port"}, {asked.Ports.Global, p.Ports.Global, "global gossip port"},
	} {
		if port.asked != 0 && port.asked != port.saved {
			return fmt.Errorf("%s holds a mesh with the %s %d, not %d: leave the flags of ports away to resume it, change its ports in %s, or choose another --dir",
				dir, port.what, port.saved, port.asked, filepath.Join(dir, planFile))
		}
	}
	return nil
}

func (p plan) save(path string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return meshfile.Replace(path, append(data, '\n'), 0o600)
}
