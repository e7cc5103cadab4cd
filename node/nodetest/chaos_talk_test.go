package nodetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
	"github.com/skein-mesh/skein/inference"
)

// said is one turn as its client saw it.
type said struct {
	id       skein.TurnID
	text     string
	want     string // the reply; empty: any that contains has
	has      string
	pieces   strings.Builder
	reply    client.Reply
	whole    bool // the client has the reply
	acked    bool // the client has heard of it: it must be in the log
	began    time.Time
	gaps     []span // between two pieces
	lastNews time.Time
}

func (s *said) news() {
	s.acked = true
	s.silence()
}

func (s *said) silence() {
	now := time.Now()
	s.gaps = append(s.gaps, span{s.lastNews, now})
	s.lastNews = now
}

// talker is a client with one session. Its fields belong to its goroutine until done is closed.
type talker struct {
	name   string
	c      *client.Client
	s      *client.Session
	rng    *rand.Rand
	fake   *inference.Fake
	shared bool // another talker has the same session
	turns  []*said
	faults []string
	done   chan struct{}
}

// pieceEvery is how fast the simulated model writes.
const pieceEvery = 40 * time.Millisecond

func newModel() *inference.Fake {
	return inference.NewFake(inference.FakeConfig{Delay: pieceEvery, Sentences: 8, PieceRunes: 7})
}

// talk runs turns until stop is closed.
func (k *talker) talk(stop <-chan struct{}, wg *sync.WaitGroup) {
	k.done = make(chan struct{})
	wg.Go(func() {
		defer close(k.done)
		defer k.c.Close()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(k.rng.Int64N(int64(200 * time.Millisecond)))):
			}
			if k.s == nil && !k.open() {
				return
			}
			if !k.once(i) {
				return
			}
		}
	})
}

func (k *talker) fault(format string, args ...any) bool {
	k.faults = append(k.faults, k.name+": "+fmt.Sprintf(format, args...))
	return false
}

func (k *talker) open() bool {
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		s, err := k.c.Open(ctx, k.name, client.Options{})
		cancel()
		if err == nil {
			k.s = s
			return true
		}
	}
	return k.fault("the session does not open")
}

// once runs one turn, or one dialogue; false ends the talk.
func (k *talker) once(i int) bool {
	switch n := k.rng.IntN(12); {
	case n < 4:
		return k.say(&said{text: "where is my order SO10021", has: "SO10021"})
	case n < 8:
		return k.say(k.long(i))
	case n < 9 && !k.shared:
		return k.say(&said{text: "refund order SO10022 because it is broken", has: "SO10022"}) &&
			k.say(&said{text: "yes", want: "Done: RF-SO10022. The money arrives within 3 to 5 days."})
	case n < 11:
		return k.walkAway(i)
	}
	k.s.Close()
	k.s = nil
	return true
}

func (k *talker) long(i int) *said {
	text := fmt.Sprintf("explain mountain %s to %s", strings.Repeat("x", 1+i%5)+fmt.Sprint(i), k.name)
	want := k.fake.Reply(inference.Request{Messages: []inference.Message{{Role: inference.RoleUser, Content: text}}})
	return &said{text: text, want: want}
}

// say runs a turn to its end; what may pass is tried again under the same id.
func (k *talker) say(w *said) bool {
	k.turns = append(k.turns, w)
	w.began, w.lastNews = time.Now(), time.Now()
	for range 12 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		err := k.try(ctx, w)
		cancel()
		if err == nil {
			return true
		}
		fault, refused := errors.AsType[*skein.Error](err)
		if errors.Is(err, client.ErrRetracted) || refused && !fault.Code.Retry() {
			return k.fault("turn %s %q: %v", w.id, w.text, err)
		}
	}
	return k.fault("turn %s %q is never answered", w.id, w.text)
}

func (k *talker) try(ctx context.Context, w *said) error {
	send := func() (*client.Turn, error) { return k.s.Send(ctx, w.text) }
	if w.id != (skein.TurnID{}) {
		send = func() (*client.Turn, error) { return k.s.SendID(ctx, w.id, w.text) }
		w.pieces.Reset() // a new request begins at byte 0
	}
	t, err := send()
	if err != nil {
		return err
	}
	w.id = t.ID()
	for {
		p, err := t.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.silence()
			return err
		}
		if p.Offset != w.pieces.Len() {
			k.fault("turn %s: a piece at %d behind %d bytes", w.id, p.Offset, w.pieces.Len())
		}
		w.pieces.WriteString(p.Text)
		w.news()
	}
	w.reply, err = t.Reply(ctx)
	w.news()
	w.whole = err == nil
	return err
}

// walkAway begins a turn and goes before it ends, with or without closing the session.
func (k *talker) walkAway(i int) bool {
	w := k.long(i)
	k.turns = append(k.turns, w)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(k.rng.Int64N(int64(1500*time.Millisecond))))
	defer cancel()
	t, err := k.s.Send(ctx, w.text)
	if err != nil {
		k.turns = k.turns[:len(k.turns)-1]
		return true
	}
	w.id, w.lastNews, w.began = t.ID(), time.Now(), time.Now()
	for {
		p, err := t.Next(ctx)
		if errors.Is(err, client.ErrRetracted) {
			return k.fault("turn %s: %v", w.id, err)
		}
		if err != nil {
			break
		}
		w.pieces.WriteString(p.Text)
		w.acked = true
	}
	if k.rng.IntN(2) == 0 {
		k.s.Close()
		k.s = nil
	}
	return true
}
