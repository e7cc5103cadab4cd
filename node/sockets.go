package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/skein-mesh/skein/mesh"
)

// sockets are what the node listens on.
type sockets struct {
	client    netip.AddrPort
	packet    net.PacketConn
	stream    net.Listener
	dnsPacket net.PacketConn
	dnsStream net.Listener
	dns       netip.AddrPort
	adminConn net.Listener
	admin     netip.AddrPort
}

func (s *sockets) close() {
	if s == nil {
		return
	}
	for _, c := range []interface{ Close() error }{s.packet, s.stream, s.dnsPacket, s.dnsStream, s.adminConn} {
		if c != nil {
			c.Close() //nolint:errcheck // closed by its room already, or about to end with the process
		}
	}
}

func (n *Node) openSockets() error {
	s := &sockets{}
	n.sockets = s
	var err error
	l := n.cfg.Listen
	if s.packet, s.stream, s.client, err = listenBoth(n.cfg.Network, "listen.client", l.Client); err != nil {
		return err
	}
	if l.DNS.IsValid() {
		if s.dnsPacket, s.dnsStream, s.dns, err = listenBoth(n.cfg.Network, "listen.dns", l.DNS); err != nil {
			return err
		}
	}
	if s.adminConn, err = n.cfg.Network.Listen(l.Admin); err != nil {
		return inUse("listen.admin", "TCP", l.Admin, err)
	}
	s.admin = bound(s.adminConn.Addr())
	n.socket, err = mesh.Listen(mesh.SocketConfig{
		Packet: s.packet, Stream: s.stream, Identity: n.secrets.identity, Service: n.secrets.service,
		Secret: n.secrets.secret, ResetKey: n.secrets.resetKey, Log: n.log, Meters: n.meters,
	})
	return err
}

// listenBoth binds UDP and TCP to one port.
func listenBoth(network mesh.Network, key string, at netip.AddrPort) (net.PacketConn, net.Listener, netip.AddrPort, error) {
	l, err := network.Listen(at)
	if err != nil {
		return nil, nil, at, inUse(key, "TCP", at, err)
	}
	at = netip.AddrPortFrom(at.Addr(), bound(l.Addr()).Port())
	pc, err := network.ListenPacket(at)
	if err != nil {
		l.Close()
		return nil, nil, at, inUse(key, "UDP", at, err)
	}
	return pc, l, at, nil
}

func inUse(key, proto string, at netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s port %s is in use: stop what holds it (ss -lptun) or set another %s", key, proto, at, key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: this host has no address %s: set another %s", key, at.Addr(), key)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: this user may not bind %s: set a port from 1024 on", key, at)
	}
	return fmt.Errorf("%s %s: %w", key, at, err)
}

func bound(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	at, _ := netip.ParseAddrPort(a.String()) // a simulated network's
	return at
}
