package gateway

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/skein-mesh/skein/wire"
)

// A client that comes back sends Open and its turn as early data, and the repeat finds the turn already run.
func TestEarlyData(t *testing.T) {
	var addr string
	s := start(t, func(c *Config) {
		k := newKeys(t)
		l, err := quic.ListenAddrEarly("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{k.cert}, NextProtos: []string{wire.ALPNClient}}, &quic.Config{Allow0RTT: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		c.Native, addr = l, l.Addr().String()
	})
	tickets := make(chan struct{}, 8)
	conf := &tls.Config{
		InsecureSkipVerify: true, ServerName: service, NextProtos: []string{wire.ALPNClient},
		ClientSessionCache: ticketCache{tls.NewLRUClientSessionCache(4), tickets},
	}
	speak := func() (early bool, done *wire.Completed) {
		conn, err := quic.DialAddrEarly(t.Context(), addr, conf, nil)
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
