package mesh

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/skein-mesh/skein"
)

// serverName is what every node's certificate carries, so that one name serves all dials; which node it is the
// URI says.
const serverName = "mesh.skein.internal"

// Identity is this node's certificate and the CA that it trusts.
type Identity struct {
	place skein.Place
	cert  tls.Certificate
	roots *x509.CertPool
}

// LoadIdentity reads the CA's certificates and a node's certificate and key, and checks that they belong together
// and are valid now.
func LoadIdentity(caPEM, certPEM, keyPEM []byte) (*Identity, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("load identity: the CA file has no PEM certificate")
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	place, err := nodePlace(cert.Leaf)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	opts := x509.VerifyOptions{Roots: roots, DNSName: serverName, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := cert.Leaf.Verify(opts); err != nil {
		return nil, fmt.Errorf("load identity of %s: %w", place.Node, err)
	}
	return &Identity{place: place, cert: cert, roots: roots}, nil
}

// Node gives the node that the certificate names.
func (id *Identity) Node() skein.NodeID { return id.place.Node }

// Place gives the node, region and zone that the certificate names.
func (id *Identity) Place() skein.Place { return id.place }

// server gives the TLS configuration for connections from nodes under one ALPN.
func (id *Identity) server(alpn string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.cert}, NextProtos: []string{alpn},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: id.roots, SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := peerPlace(cs)
			return err
		},
	}
}

// client gives the TLS configuration for a dial to one node.
func (id *Identity) client(alpn string, node skein.NodeID) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.cert}, NextProtos: []string{alpn},
		RootCAs: id.roots, ServerName: serverName, SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			place, err := peerPlace(cs)
			if err != nil {
				return err
			}
			if place.Node != node {
				return skein.Fault(skein.CodeUnauthenticated, "certificate of node %s where %s was dialed", place.Node, node)
			}
			return nil
		},
	}
}

// peerPlace gives the place that the verified peer's certificate names.
func peerPlace(cs tls.ConnectionState) (skein.Place, error) {
	if len(cs.PeerCertificates) == 0 {
		return skein.Place{}, skein.Fault(skein.CodeUnauthenticated, "peer shows no certificate")
	}
	return nodePlace(cs.PeerCertificates[0])
}

func nodeURI(p skein.Place) *url.URL {
	return &url.URL{Scheme: "skein", Host: "node", Path: "/" + string(p.Region) + "/" + string(p.Zone) + "/" + string(p.Node)}
}

// nodePlace reads the one URI skein://node/REGION/ZONE/ID of a node's certificate.
func nodePlace(cert *x509.Certificate) (skein.Place, error) {
	if len(cert.URIs) != 1 {
		return skein.Place{}, skein.Fault(skein.CodeUnauthenticated, "certificate of %.80q is not a node's: want one URI skein://node/REGION/ZONE/ID", cert.Subject.CommonName)
	}
	u := cert.URIs[0]
	parts := strings.Split(u.Path, "/")
	if u.Scheme != "skein" || u.Host != "node" || len(parts) != 4 || parts[0] != "" {
		return skein.Place{}, skein.Fault(skein.CodeUnauthenticated, "certificate URI %.200q is not a node's", u.String())
	}
	for _, name := range parts[1:] {
		if !skein.ValidName(name) {
			return skein.Place{}, skein.Fault(skein.CodeUnauthenticated, "certificate URI %.200q is not a node's", u.String())
		}
	}
	return skein.Place{Region: skein.Region(parts[1]), Zone: skein.Zone(parts[2]), Node: skein.NodeID(parts[3])}, nil
}
