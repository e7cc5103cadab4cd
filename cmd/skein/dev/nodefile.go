package dev

import (
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// nodeFile is the skein.yaml of one node, with the keys that package config reads.
type nodeFile struct {
	Node       skein.NodeID   `yaml:"node"`
	Region     skein.Region   `yaml:"region"`
	Zone       skein.Zone     `yaml:"zone"`
	Dir        string         `yaml:"dir"`
	Service    string         `yaml:"service"`
	Listen     listenFile     `yaml:"listen"`
	Seeds      []string       `yaml:"seeds,omitempty"`
	Abroad     []string       `yaml:"abroad,omitempty"`
	Voters     []skein.NodeID `yaml:"voters"`
	Groups     int            `yaml:"groups,omitempty"`
	Files      keyFiles       `yaml:"files"`
	Assistant  *assistantFile `yaml:"assistant,omitempty"`
	Model      *modelFile     `yaml:"model,omitempty"`
	Geo        *geoFile       `yaml:"geo,omitempty"`
	NoTakeover bool           `yaml:"no_takeover,omitempty"`
}

type listenFile struct {
	Client string `yaml:"client"`
	DNS    string `yaml:"dns"`
	Admin  string `yaml:"admin"`
	Gossip string `yaml:"gossip"`
	Global string `yaml:"global"`
}

type keyFiles struct {
	CA          string `yaml:"ca"`
	Cert        string `yaml:"cert"`
	Key         string `yaml:"key"`
	ServiceCert string `yaml:"service_cert"`
	ServiceKey  string `yaml:"service_key"`
	Secret      string `yaml:"secret"`
	TokenKey    string `yaml:"token_key"`
	AdminToken  string `yaml:"admin_token"`
}

type assistantFile struct {
	File  string `yaml:"file"`
	Watch bool   `yaml:"watch,omitempty"`
}

type modelFile struct {
	URL string `yaml:"url"`
}

type geoFile struct {
	Prefixes    map[string]skein.Region `yaml:"prefixes,omitempty"`
	Coordinates map[skein.Region]string `yaml:"coordinates,omitempty"` // latitude and longitude in degrees
}

// configure writes the configuration of every node.
func (s *supervisor) configure(prefixes []place) error {
	for _, r := range s.plan {
		for _, n := range r.nodes {
			data, err := yaml.Marshal(s.nodeFile(n, r, prefixes))
			if err != nil {
				return fmt.Errorf("configuration of %s: %w", n.Node, err)
			}
			head := "# Written by `skein dev` at every start; changes are lost.\n"
			if err := meshfile.Replace(s.home.nodePath(n.Node, "skein.yaml"), append([]byte(head), data...), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *supervisor) nodeFile(n skein.Place, region regionPlan, prefixes []place) nodeFile {
	at := s.at[n.Node]
	f := nodeFile{
		Node: n.Node, Region: n.Region, Zone: n.Zone, Dir: s.home.nodePath(n.Node, "data"), Service: Service,
		Listen: listenFile{at.client.String(), at.dns.String(), at.admin.String(), at.gossip.String(), at.global.String()},
		Voters: region.voters(), Groups: s.groups,
		Files: keyFiles{
			CA: s.home.path("ca.pem"), Cert: s.home.nodePath(n.Node, "node.pem"), Key: s.home.nodePath(n.Node, "node.key"),
			ServiceCert: s.home.nodePath(n.Node, "service.pem"), ServiceKey: s.home.nodePath(n.Node, "service.key"),
			Secret: s.home.path("secret"), TokenKey: s.home.path("token.pub"), AdminToken: s.home.path("admin.token"),
		},
		Geo:        s.geoFile(prefixes),
		NoTakeover: s.opts.NoTakeover,
	}
	for _, o := range region.nodes {
		if o.Node != n.Node {
			f.Seeds = append(f.Seeds, s.at[o.Node].gossip.String())
		}
	}
	// The regions' voters alone are in the pool across regions.
	for _, r := range s.plan {
		for _, v := range r.voters() {
			if r.name != n.Region {
				f.Abroad = append(f.Abroad, s.at[v].global.String())
			}
		}
	}
	if s.opts.Assistant != "" {
		f.Assistant = &assistantFile{File: s.opts.Assistant, Watch: s.opts.Watch}
	}
	if s.opts.Model != "" {
		f.Model = &modelFile{URL: s.opts.Model}
	}
	return f
}

func (s *supervisor) geoFile(prefixes []place) *geoFile {
	g := &geoFile{Prefixes: map[string]skein.Region{}, Coordinates: map[skein.Region]string{}}
	for _, p := range prefixes {
		g.Prefixes[p.prefix.String()] = p.region
	}
	for _, r := range s.plan {
		if at, known := coordinates[r.name]; known {
			g.Coordinates[r.name] = strconv.FormatFloat(at[0], 'f', -1, 64) + " " + strconv.FormatFloat(at[1], 'f', -1, 64)
		}
	}
	if len(g.Prefixes) == 0 && len(g.Coordinates) == 0 {
		return nil
	}
	return g
}
