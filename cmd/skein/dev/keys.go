package dev

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/cmd/skein/meshfile"
	"github.com/skein-mesh/skein/gateway"
	"github.com/skein-mesh/skein/mesh"
)

// Service is the DNS zone of every dev mesh; "test" is reserved (RFC 6761, section 6.2).
const Service = "assistant.skein.test"

// Validity of what is made for a dev mesh. Certificates are made anew when a resumed directory holds
// expiring ones; the CA, the secret and the token's key stay.
const (
	certDays  = 825
	tokenDays = 3650
	renewal   = 24 * time.Hour
)

// keys makes what the directory lacks of the mesh's keys, for all nodes.
func (h *home) keys(t topology, at map[skein.NodeID]endpoints) error {
	ca, err := h.authority()
	if err != nil {
		return err
	}
	if err := h.once("secret", randomLine); err != nil {
		return err
	}
	if err := h.once("admin.token", randomLine); err != nil {
		return err
	}
	if err := h.clientToken(); err != nil {
		return err
	}
	for _, r := range t {
		for _, n := range r.nodes {
			if err := h.identity(ca, n, at[n.Node].client.Addr()); err != nil {
				return fmt.Errorf("identity of %s: %w", n.Node, err)
			}
		}
	}
	return nil
}

func (h *home) authority() (*mesh.CA, error) {
	cert, err := os.ReadFile(h.path("ca.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		ca, err := mesh.NewCA("skein dev")
		if err != nil {
			return nil, fmt.Errorf("make the CA: %w", err)
		}
		cert, key := ca.PEM()
		// The certificate comes last: its presence says that both are there.
		if err := meshfile.Replace(h.path("ca.key"), key, 0o600); err != nil {
			return nil, err
		}
		return ca, meshfile.Replace(h.path("ca.pem"), cert, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	key, err := os.ReadFile(h.path("ca.key"))
	if err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	ca, err := mesh.ParseCA(cert, key)
	if err != nil {
		return nil, fmt.Errorf("CA in %s: %w", h.dir, err)
	}
	return ca, nil
}

// once writes the file name unless it exists.
func (h *home) once(name string, content func() []byte) error {
	if _, err := os.Stat(h.path(name)); err == nil {
		return nil
	}
	return meshfile.Replace(h.path(name), content(), 0o600)
}

// randomLine gives 256 random bits in hexadecimal.
func randomLine() []byte {
	var b [32]byte
	rand.Read(b[:])
	return []byte(hex.EncodeToString(b[:]) + "\n")
}

// clientToken makes the key pair of tokens, and a token for the user.
func (h *home) clientToken() error {
	if _, err := os.Stat(h.path("token.key")); errors.Is(err, fs.ErrNotExist) {
		if err := NewTokenKey(h.dir); err != nil {
			return err
		}
	}
	key, err := ReadTokenKey(h.path("token.key"))
	if err != nil {
		return err
	}
	token, err := gateway.SignToken(key, gateway.Claims{Subject: "dev", Audience: Service,
		Expires: time.Now().AddDate(0, 0, tokenDays).Truncate(time.Second)})
	if err != nil {
		return err
	}
	return h.once("token", func() []byte { return []byte(token + "\n") })
}

// identity makes a node's certificates: one for the mesh, one that clients see.
func (h *home) identity(ca *mesh.CA, n skein.Place, ip netip.Addr) error {
	if err := os.MkdirAll(h.nodePath(n.Node, "data"), 0o700); err != nil {
		return err
	}
	if !fresh(h.nodePath(n.Node, "node.pem"), netip.Addr{}) {
		cert, key, err := ca.IssueNode(mesh.NodeRequest{Node: n.Node, Region: n.Region, Zone: n.Zone, Days: certDays})
		if err == nil {
			err = h.pair(n.Node, "node", cert, key)
		}
		if err != nil {
			return err
		}
	}
	if fresh(h.nodePath(n.Node, "service.pem"), ip) {
		return nil
	}
	cert, key, err := ca.IssueService(mesh.ServiceRequest{Names: []string{Service, "localhost"}, IPs: []netip.Addr{ip}, Days: certDays})
	if err != nil {
		return err
	}
	return h.pair(n.Node, "service", cert, key)
}

func (h *home) pair(id skein.NodeID, name string, cert, key []byte) error {
	if err := meshfile.Replace(h.nodePath(id, name+".key"), key, 0o600); err != nil {
		return err
	}
	return meshfile.Replace(h.nodePath(id, name+".pem"), cert, 0o644)
}

// fresh reports whether the certificate at path is good for some time, and for ip when that is given.
func fresh(path string, ip netip.Addr) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || time.Until(cert.NotAfter) < renewal {
		return false
	}
	return !ip.IsValid() || cert.VerifyHostname(ip.String()) == nil
}
