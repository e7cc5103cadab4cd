package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
)

// clientConfig is what the mesh file says about being a client. Nodes of region come first, when one is given;
// the others stay reachable for the day when that region is lost.
func clientConfig(m *meshfile.File, region skein.Region) (client.Config, error) {
	pem, err := os.ReadFile(m.CAFile)
	if err != nil {
		return client.Config{}, fmt.Errorf("CA of the mesh: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return client.Config{}, fmt.Errorf("CA of the mesh: %s holds no certificate", m.CAFile)
	}
	if _, err := secretLine(m.TokenFile, "token"); err != nil {
		return client.Config{}, err
	}
	cfg := client.Config{Service: m.Service, Roots: roots,
		// Read at each connection, so that a renewed token is used at once.
		Token: func(context.Context) (string, error) { return secretLine(m.TokenFile, "token") }}
	var others []client.Node
	for _, n := range livingFirst(m.Nodes) {
		addr, err := netip.ParseAddrPort(n.QUIC)
		if err != nil {
			continue
		}
		c := client.Node{ID: n.ID, Region: n.Region, Zone: n.Zone, QUIC: addr}
		if region == "" || n.Region == region {
			cfg.Nodes = append(cfg.Nodes, c)
		} else {
			others = append(others, c)
		}
	}
	if len(cfg.Nodes) == 0 {
		if region != "" {
			return client.Config{}, fmt.Errorf("the mesh has no region %q", region)
		}
		return client.Config{}, fmt.Errorf("the mesh file has no QUIC address")
	}
	cfg.Nodes = append(cfg.Nodes, others...)
	return cfg, nil
}
