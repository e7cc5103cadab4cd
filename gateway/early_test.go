package gateway

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein/wire"
)

// A client that comes back sends Open and its turn as early data, and the repeat finds the turn already run.
func TestEarlyData(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // gatedConn hides the socket from quic-go
	var addr net.Addr
	s := start(t, func(c *Config) {
		k := newKeys(t)
		l, err := quic.ListenAddrEarly("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{k.cert}, NextProtos: []string{wire.ALPNClient}}, &quic.Config{Allow0RTT: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		c.Native, addr = l, l.Addr()
	})
	tickets := make(chan struct{}, 8)
	conf := &tls.Config{
		InsecureSkipVerify: true, ServerName: service, NextProtos: []string{wire.ALPNClient},
		ClientSessionCache: ticketCache{tls.NewLRUClientSessionCache(4), tickets},
	}
	speak := func() (early bool, done *wire.Completed) {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		gated := gatedConn{udp, make(chan struct{})}
		tr := &quic.Transport{Conn: gated}
		defer udp.Close()
		defer tr.Close()
		known, has := conf.ClientSessionCache.Get(service)
		if !has || known == nil {
			close(gated.open) // without a ticket the dial waits for the server
		}
		conn, err := tr.DialEarly(t.Context(), addr, conf, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseWithError(0, "")
		st, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		c := newTalk(t, st)
		c.send(open("early", s.token(t, "ann")), turn(1, "hello", 0))
		if has {
			close(gated.open)
		}
		c.wantOpened()
		_, done = c.wantReply()
		select {
		case <-tickets:
		case <-time.After(10 * time.Second):
			t.Fatal("no session ticket came")
		}
		return conn.ConnectionState().Used0RTT, done
	}
	if early, _ := speak(); early {
		t.Error("the first connection used early data")
	}
	early, done := speak()
	if !early || done.GetReply() != "you said: hello" {
		t.Errorf("early data %v, completed %v", early, done)
	}
	if st, _ := s.fake.look("eu~early"); st.Count != 1 {
		t.Errorf("the turn ran %d times", st.Count)
	}
}

// gatedConn hands on nothing that arrives before open is closed: quic-go's client reads its peer's parameters when
// it opens a stream, and writes them when the handshake ends, without a lock.
type gatedConn struct {
	net.PacketConn
	open chan struct{}
}

func (c gatedConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(p)
	if err == nil {
		<-c.open
	}
	return n, from, err
}

// ticketCache tells when a ticket has come.
type ticketCache struct {
	tls.ClientSessionCache
	came chan struct{}
}

func (c ticketCache) Put(key string, cs *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, cs)
	if cs != nil {
		poke(c.came)
	}
}
