package store

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/skein-mesh/skein/mesh"
)

// portTries is how often a TCP port is taken whose UDP side turns out to be in use.
const portTries = 16

// loopback opens one port of 127.0.0.1 for UDP and TCP.
func loopback() (net.PacketConn, net.Listener, netip.AddrPort, error) {
	var host mesh.Host
	var last error
	for range portTries {
		stream, err := host.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return nil, nil, netip.AddrPort{}, err
		}
		at := stream.Addr().(*net.TCPAddr).AddrPort()
		packet, err := host.ListenPacket(at)
		if err == nil {
			return packet, stream, at, nil
		}
		last = errors.Join(err, stream.Close())
	}
	return nil, nil, netip.AddrPort{}, fmt.Errorf("no port is free for UDP and TCP: %w", last)
}

// freePort gives a port of 127.0.0.1 that nobody uses now, for servers that open theirs themselves. Somebody else may be
// faster; the server's start then fails and says so.
func freePort() (netip.AddrPort, error) {
	packet, stream, at, err := loopback()
	if err != nil {
		return at, err
	}
	return at, errors.Join(packet.Close(), stream.Close())
}
