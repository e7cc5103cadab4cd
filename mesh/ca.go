package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
)

// CA issues the certificates of one mesh. Its key is an ECDSA key on P-256, as are those that it issues.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NodeRequest asks for a node's identity.
type NodeRequest struct {
	Node   skein.NodeID
	Region skein.Region
	Zone   skein.Zone
	Days   int // of validity; 0: 365
}

// ServiceRequest asks for a certificate that clients see. It never passes as a node's.
type ServiceRequest struct {
	Names []string // DNS names
	IPs   []netip.Addr
	Days  int // of validity; 0: 365
}

const (
	defaultDays = 365
	maxDays     = 3650
	// backdate allows for the clocks of other nodes.
	backdate = time.Hour
)

// NewCA makes a CA that is valid for ten years.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.AddDate(0, 0, maxDays),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true,
		IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back CA: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// ParseCA reads what PEM gave.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("CA file has no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse CA certificate: %w", err)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("certificate of %q is not a CA", cert.Subject.CommonName)
	}
	block, _ = pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("CA key file has no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse CA key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("CA key is not ECDSA")
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("CA key does not belong to the CA certificate")
	}
	return &CA{cert: cert, key: key}, nil
}

// PEM gives the certificate and the PKCS #8 key.
func (ca *CA) PEM() (cert, key []byte) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		panic("mesh: a P-256 key always has a PKCS #8 form: " + err.Error())
	}
	return encodePEM("CERTIFICATE", ca.cert.Raw), encodePEM("PRIVATE KEY", der)
}

// IssueNode gives a node's certificate and key in PEM.
func (ca *CA) IssueNode(req NodeRequest) (cert, key []byte, err error) {
	for _, name := range []string{string(req.Node), string(req.Region), string(req.Zone)} {
		if !skein.ValidName(name) {
			return nil, nil, skein.Fault(skein.CodeMalformed, "issue node certificate: %.80q is no name", name)
		}
	}
	tmpl := &x509.Certificate{
		Subject:     pkix.Name{CommonName: string(req.Node)},
		DNSNames:    []string{serverName},
		URIs:        []*url.URL{nodeURI(skein.Place{Node: req.Node, Region: req.Region, Zone: req.Zone})},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return ca.issue(tmpl, req.Days)
}

// IssueService gives a certificate for the names and addresses that clients dial.
func (ca *CA) IssueService(req ServiceRequest) (cert, key []byte, err error) {
	if len(req.Names)+len(req.IPs) == 0 {
		return nil, nil, skein.Fault(skein.CodeMalformed, "issue service certificate: no name and no address")
	}
	tmpl := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range req.Names {
		if name == "" || strings.EqualFold(strings.TrimSuffix(name, "."), serverName) {
			return nil, nil, skein.Fault(skein.CodeMalformed, "issue service certificate: the name %.80q is not for services", name)
		}
		tmpl.DNSNames = append(tmpl.DNSNames, name)
	}
	for _, ip := range req.IPs {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.IP(ip.AsSlice()))
	}
	if len(req.Names) > 0 {
		tmpl.Subject.CommonName = req.Names[0]
	}
	return ca.issue(tmpl, req.Days)
}

// issue completes tmpl, signs it for a fresh key and gives both in PEM.
func (ca *CA) issue(tmpl *x509.Certificate, days int) (cert, key []byte, err error) {
	if days == 0 {
		days = defaultDays
	}
	if days < 0 || days > maxDays {
		return nil, nil, skein.Fault(skein.CodeMalformed, "certificate for %d days: want 1 to %d", days, maxDays)
	}
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	tmpl.SerialNumber = serial()
	tmpl.NotBefore, tmpl.NotAfter = now.Add(-backdate), now.AddDate(0, 0, days)
	tmpl.KeyUsage, tmpl.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, priv.Public(), ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER), nil
}

// serial gives 127 random bits (RFC 5280, section 4.1.2.2: at most 20 octets, positive).
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b[:])
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
