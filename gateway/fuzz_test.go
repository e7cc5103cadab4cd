package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/wire"
)

// tape is a stream whose peer has sent all it ever will.
type tape struct {
	io.Reader
	mu  sync.Mutex
	out bytes.Buffer
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

// frames reads what was written; all of it must be whole frames.
func (p *tape) frames(t *testing.T) (all []*wire.ServerFrame) {
	r := bufio.NewReader(&p.out)
	for {
		var f wire.ServerFrame
		err := wire.ReadFrame(r, &f, wire.MaxServerFrame)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("wrote no frame: %v", err)
		}
		all = append(all, &f)
	}
}

// FuzzStream feeds a stream of a forwarded session, so that no token is in the way: Forward, then anything.
func FuzzStream(f *testing.F) {
	seed := func(frames ...*wire.ClientFrame) {
		var buf []byte
		for _, w := range frames {
			buf, _ = wire.AppendFrame(buf, w)
		}
		f.Add(buf)
	}
	seed(open("s", ""), turn(1, "hello", 0), turn(1, "hello", 3), history(0, 10))
	seed(open("us~s", ""))
	seed(open("s", ""), open("s", ""))
	seed(turn(1, "hello", 0))
	seed(open("s", ""), turn(0, "", 1<<40), history(1<<63, 1<<31))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &pair{keys: newKeys(t)}
		home := newFake("us-1", "us")
		close(home.release)
		g, err := New(p.config("us-1", "us", home))
		if err != nil {
			t.Fatal(err)
		}
		head, _ := wire.AppendFrame(nil, &wire.Forward{Version: wire.Version, Subject: "ann", Gateway: "eu-1"})
		in := &tape{Reader: bytes.NewReader(append(head, data...))}
		fr := newFramed(in)
		if err := g.admitForward(context.Background(), fr, "eu-1"); err != nil {
			if skein.CodeOf(err) == skein.CodeInternal {
				t.Errorf("input gave an internal error: %v", err)
			}
			return
		}
		home.wait()
		if all := in.frames(t); len(all) == 0 || all[0].GetOpened() == nil {
			t.Errorf("an opened stream began with %v", all)
		}
	})
}

func FuzzDecodeTurn(f *testing.F) {
	for _, s := range []string{`{"id":"a:1","text":"x"}`, `{"text":"\ud800","offset":-1}`, `{}{}`, `[]`, `null`, `{"text":1e99}`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		turn, err := decodeTurn(data)
		if err != nil {
			if skein.CodeOf(err) != skein.CodeMalformed || len(err.Error()) > 300 {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if !json.Valid(data) {
			t.Errorf("took %q, which is no JSON", data)
		}
		if id, err := turnID(turn.ID, nil); err == nil && id.Validate() != nil {
			t.Errorf("made the turn id %v", id)
		}
	})
}

func FuzzVerify(f *testing.F) {
	k := newKeys(f)
	v := newVerifier([]ed25519.PublicKey{k.public}, service)
	good := k.token(f, "ann")
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := v.verify(token); err == nil && token != good {
			t.Errorf("%q speaks for %q", token, who.subject)
		}
	})
}
