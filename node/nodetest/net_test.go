package nodetest

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	hostA = netip.MustParseAddr("10.0.0.1")
	hostB = netip.MustParseAddr("10.0.0.2")
)

func TestStreamIsHeldWhileCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNet(1)
		n.Latency(func(_, _ netip.Addr) time.Duration { return 20 * time.Millisecond })
		at := netip.AddrPortFrom(hostB, 80)
		l, err := n.Host(hostB).Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		began := time.Now()
		a, err := n.Host(hostA).Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Since(began); got != 40*time.Millisecond {
			t.Errorf("dial took %v, want one round trip", got)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		n.Cut(func(_, _ netip.Addr) bool { return true })
		a.Write([]byte("hello"))
		time.AfterFunc(3*time.Second, func() { n.Cut(nil) })
		began = time.Now()
		buf := make([]byte, 8)
		got, err := b.Read(buf)
		if string(buf[:got]) != "hello" || err != nil {
			t.Errorf("read %q, %v", buf[:got], err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("read after %v, want when the cut healed", took)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := b.Read(buf); err == nil {
			t.Error("read past the deadline: no error")
		}
		b.SetReadDeadline(time.Time{})
		a.Close()
		if _, err := b.Read(buf); err != io.EOF {
			t.Errorf("read after close: %v, want EOF", err)
		}
		b.Close()
	})
}

func TestKillResetsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNet(1)
		at := netip.AddrPortFrom(hostB, 80)
		l, err := n.Host(hostB).Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		a, err := n.Host(hostA).Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		n.Kill(hostB)
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host(hostA).Dial(ctx, at); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v, want refused", err)
		}
		a.Close()
	})
}
