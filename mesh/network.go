package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Network opens sockets; a simulated one stands in for the host's in tests.
//
// Dial must fail with an error that wraps syscall.ECONNREFUSED when the far host lives but nothing listens, since
// that is evidence of a process's end; a far host that is out of reach must not be reported so.
type Network interface {
	ListenPacket(addr netip.AddrPort) (net.PacketConn, error)
	Listen(addr netip.AddrPort) (net.Listener, error)
	Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// Host is the network of this host. Log may be nil.
type Host struct{ Log *slog.Logger }

// udpBuffer is the size that quic-go asks for; hosts need net.core.rmem_max and wmem_max of as much.
const udpBuffer = 7_500_000

// keepAlive finds a silent far host behind an idle tether; gossip is faster, this one frees the descriptor.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// ListenPacket opens a UDP socket with large buffers; where the host refuses those it says so and goes on.
func (h Host) ListenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP %s: %w", addr, err)
	}
	if err := conn.SetReadBuffer(udpBuffer); err != nil {
		logger(h.Log).Warn("UDP receive buffer stays small; raise net.core.rmem_max", "addr", addr, "err", err)
	}
	if err := conn.SetWriteBuffer(udpBuffer); err != nil {
		logger(h.Log).Warn("UDP send buffer stays small; raise net.core.wmem_max", "addr", addr, "err", err)
	}
	return conn, nil
}

// Listen opens a TCP listener whose connections have keepalive on.
func (h Host) Listen(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen on TCP %s: %w", addr, err)
	}
	return ln, nil
}

// Dial opens a TCP connection with keepalive on.
func (h Host) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	return d.DialContext(ctx, "tcp", addr.String())
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
