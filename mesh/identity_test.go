package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

func newTestCA(t testing.TB) *CA {
	t.Helper()
	ca, err := NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issueIdentity(t testing.TB, ca *CA, node, region string) *Identity {
	t.Helper()
	cert, key, err := ca.IssueNode(NodeRequest{Node: skein.NodeID(node), Region: skein.Region(region), Zone: "a"})
	if err != nil {
		t.Fatal(err)
	}
	caPEM, _ := ca.PEM()
	id, err := LoadIdentity(caPEM, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shake runs a TLS handshake over a pipe and gives what each side says; TLS 1.3 clients learn of a refusal at
// their first read.
func shake(server, client *tls.Config) (serverErr, clientErr error) {
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		a.Close()
		done <- err
	}()
	conn := tls.Client(b, client)
	clientErr = conn.Handshake()
	if clientErr == nil {
		var buf [1]byte
		_, clientErr = conn.Read(buf[:])
	}
	b.Close()
	return <-done, clientErr
}

func TestNodeHandshake(t *testing.T) {
	ca, foreign := newTestCA(t), newTestCA(t)
	a, b := issueIdentity(t, ca, "eu-a", "eu"), issueIdentity(t, ca, "eu-b", "eu")
	stranger := issueIdentity(t, foreign, "eu-b", "eu")
	cert, key, err := ca.IssueService(ServiceRequest{Names: []string{"assistant.skein.test"}, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	service, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	asService := func(c *tls.Config) *tls.Config {
		c.Certificates = []tls.Certificate{service}
		return c
	}
	nameless := b.client(wire.ALPNMesh, "eu-a")
	nameless.Certificates = nil
	tests := []struct {
		name           string
		server, client *tls.Config
		want           bool
	}{
		{"two nodes", a.server(wire.ALPNMesh), b.client(wire.ALPNMesh, "eu-a"), true},
		{"another node than dialed", a.server(wire.ALPNMesh), b.client(wire.ALPNMesh, "eu-c"), false},
		{"client of a foreign CA", a.server(wire.ALPNMesh), stranger.client(wire.ALPNMesh, "eu-a"), false},
		{"server of a foreign CA", stranger.server(wire.ALPNMesh), a.client(wire.ALPNMesh, "eu-b"), false},
		{"client without certificate", a.server(wire.ALPNMesh), nameless, false},
		{"service certificate as client", a.server(wire.ALPNMesh), asService(b.client(wire.ALPNMesh, "eu-a")), false},
		{"service certificate as server", asService(a.server(wire.ALPNMesh)), b.client(wire.ALPNMesh, "eu-a"), false},
		{"another protocol", a.server(wire.ALPNTether), b.client(wire.ALPNMesh, "eu-a"), false},
	}
	for _, tt := range tests {
		serverErr, clientErr := shake(tt.server, tt.client)
		if got := serverErr == nil && clientErr == nil; got != tt.want {
			t.Errorf("%s: server %v, client %v; want success %v", tt.name, serverErr, clientErr, tt.want)
		}
	}
}

func TestExpiredIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newTestCA(t)
		cert, key, err := ca.IssueNode(NodeRequest{Node: "eu-b", Region: "eu", Zone: "a", Days: 1})
		if err != nil {
			t.Fatal(err)
		}
		caPEM, _ := ca.PEM()
		b, err := LoadIdentity(caPEM, cert, key)
		if err != nil {
			t.Fatal(err)
		}
		a := issueIdentity(t, ca, "eu-a", "eu")
		if _, err := shake(a.server(wire.ALPNMesh), b.client(wire.ALPNMesh, "eu-a")); err != nil {
			t.Fatalf("before expiry: %v", err)
		}
		time.Sleep(25 * time.Hour)
		if _, err := LoadIdentity(caPEM, cert, key); !invalid(err, x509.Expired) {
			t.Errorf("load after expiry: %v", err)
		}
		if err, _ := shake(a.server(wire.ALPNMesh), b.client(wire.ALPNMesh, "eu-a")); !invalid(err, x509.Expired) {
			t.Errorf("expired client: %v", err)
		}
		if _, err := shake(b.server(wire.ALPNMesh), a.client(wire.ALPNMesh, "eu-b")); !invalid(err, x509.Expired) {
			t.Errorf("expired server: %v", err)
		}
	})
}

func invalid(err error, reason x509.InvalidReason) bool {
	e, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && e.Reason == reason
}

func TestLoadIdentityRefuses(t *testing.T) {
	ca, foreign := newTestCA(t), newTestCA(t)
	caPEM, _ := ca.PEM()
	foreignPEM, _ := foreign.PEM()
	cert, key, err := ca.IssueNode(NodeRequest{Node: "eu-a", Region: "eu", Zone: "a"})
	if err != nil {
		t.Fatal(err)
	}
	service, serviceKey, err := ca.IssueService(ServiceRequest{Names: []string{"x.test"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name          string
		ca, cert, key []byte
	}{
		{"no CA", nil, cert, key},
		{"foreign CA", foreignPEM, cert, key},
		{"key of another", caPEM, cert, serviceKey},
		{"service certificate", caPEM, service, serviceKey},
	}
	for _, tt := range tests {
		if _, err := LoadIdentity(tt.ca, tt.cert, tt.key); err == nil {
			t.Errorf("%s is accepted", tt.name)
		}
	}
}

func TestCA(t *testing.T) {
	ca := newTestCA(t)
	again, err := ParseCA(ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	id := issueIdentity(t, again, "eu-a", "eu")
	if want := (skein.Place{Node: "eu-a", Region: "eu", Zone: "a"}); id.Place() != want {
		t.Errorf("place %v, want %v", id.Place(), want)
	}
	if _, _, err := ca.IssueNode(NodeRequest{Node: "a/b", Region: "eu", Zone: "a"}); err == nil {
		t.Error("a node's name with a slash is accepted")
	}
	for _, req := range []ServiceRequest{{}, {Names: []string{serverName}}, {Names: []string{"MESH.skein.internal."}}, {Names: []string{"x"}, Days: -1}} {
		if _, _, err := ca.IssueService(req); err == nil {
			t.Errorf("service request %+v is accepted", req)
		}
	}
	certPEM, _ := ca.PEM()
	_, otherKey := newTestCA(t).PEM()
	if _, err := ParseCA(certPEM, otherKey); err == nil {
		t.Error("a CA with another's key is accepted")
	}
}

func TestSecret(t *testing.T) {
	if err := Secret("short").Validate(); err == nil {
		t.Error("a short secret is accepted")
	}
	s := testSecret()
	now := time.Unix(1_800_000_000, 0)
	keys, later := s.ticketKeys(now), s.ticketKeys(now.Add(ticketEpoch))
	if keys[0] != later[1] || keys[2] != later[0] {
		t.Error("neighbouring epochs do not share their keys")
	}
	if token := s.tokenKey(); token == keys[0] || string(token[:]) == string(s.gossipKey()) {
		t.Error("two uses share a key")
	}
}

func testSecret() Secret { return Secret("0123456789abcdef0123456789abcdef") }

func TestHostDialsWhatItListensOn(t *testing.T) {
	host := Host{}
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	ln, err := host.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := host.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	ln.Close()
	if _, err := host.Dial(ctx, addr); !nobodyThere(err) {
		t.Errorf("dial without listener: %v, want a refusal", err)
	}
	packet, err := host.ListenPacket(loopback)
	if err != nil {
		t.Fatal(err)
	}
	packet.Close()
}
