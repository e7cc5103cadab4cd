package histories

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/client"
)

const (
	talkers  = 6
	sessions = 3
	callFor  = 4 * time.Second // of one call
)

// talker is a client of the mesh that notes records in a few sessions, reads them, and asks again where it was not told.
type talker struct {
	id   int
	rng  *rand.Rand
	rec  *Recorder
	c    *client.Client
	s    [sessions]*client.Session
	next int
	err  error
}

func session(i int) string { return fmt.Sprintf("eu~h%d", i) }

// dial makes a client that knows some nodes, the first one best.
func (f *fleet) dial(ctx context.Context, agents ...*agent) (*client.Client, error) {
	var nodes []client.Node
	for _, a := range agents {
		at, err := netip.ParseAddrPort(a.quic)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, client.Node{ID: a.id, Region: "eu", QUIC: at})
	}
	return client.Dial(ctx, client.Config{
		Service: f.name, Nodes: nodes, Roots: f.roots, Patience: 20 * time.Second,
		Token: func(context.Context) (string, error) { return f.token, nil },
	})
}

// crowd runs talkers until end.
type crowd struct {
	rec  Recorder
	all  []*talker
	stop chan struct{}
	wait sync.WaitGroup
}

func (f *fleet) crowd(seed uint64) *crowd {
	f.t.Helper()
	c := &crowd{stop: make(chan struct{})}
	for i := range talkers {
		k := &talker{id: i, rng: rand.New(rand.NewPCG(seed, uint64(i))), rec: &c.rec}
		agents := append(append([]*agent{}, f.agents[i%len(f.agents):]...), f.agents[:i%len(f.agents)]...)
		f.until("session", 30*time.Second, func() error { return k.open(f, agents) })
		c.all = append(c.all, k)
	}
	for _, k := range c.all {
		c.wait.Go(func() { k.talk(c.stop) })
	}
	return c
}

func (k *talker) open(f *fleet, agents []*agent) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if k.c == nil {
		if k.c, err = f.dial(ctx, agents...); err != nil {
			return err
		}
	}
	for i := range k.s {
		if k.s[i] == nil {
			if k.s[i], err = k.c.Open(ctx, session(i), client.Options{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *talker) talk(stop <-chan struct{}) {
	defer k.c.Close()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(k.rng.IntN(40)) * time.Millisecond):
		}
		i := k.rng.IntN(sessions)
		if k.rng.IntN(5) == 0 {
			k.look(i)
		} else {
			k.note(stop, i)
		}
	}
}

// note adds a record; what has an unknown outcome, and now and then what has not, is sent again under the same id.
func (k *talker) note(stop <-chan struct{}, i int) {
	k.next++
	record := fmt.Sprintf("R%dX%d", k.id, k.next)
	in := Input{Kind: Append, Session: session(i), Record: record, Reply: "noted " + record, Expect: -1}
	var id skein.TurnID
	for range 10 {
		out := k.rec.Do(k.id, in, func() Output { return k.send(i, record, &id) })
		if out.Refused || !out.Unknown && k.rng.IntN(8) > 0 {
			return
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

func (k *talker) send(i int, record string, id *skein.TurnID) Output {
	ctx, cancel := context.WithTimeout(context.Background(), callFor)
	defer cancel()
	var turn *client.Turn
	var err error
	text := "note " + record
	if *id == (skein.TurnID{}) {
		turn, err = k.s[i].Send(ctx, text)
	} else {
		turn, err = k.s[i].SendID(ctx, *id, text)
	}
	if err != nil {
		return Output{Unknown: true}
	}
	*id = turn.ID()
	reply, err := turn.Reply(ctx)
	switch fault, told := errors.AsType[*skein.Error](err); {
	case err == nil:
		return Output{Repeat: true, Reply: reply.Text, Count: -1}
	case told && fault.Code == skein.CodeReplyExpired:
		return Output{Repeat: true, Reply: Expired, Count: -1}
	case told && !fault.Code.Retry():
		k.err = errors.Join(k.err, fmt.Errorf("%s: %w", record, err))
	}
	return Output{Unknown: true}
}

// look reads a session's history at whichever node the client is; it may lag.
func (k *talker) look(i int) {
	k.rec.Do(k.id, Input{Kind: Look, Session: session(i)}, func() Output {
		ctx, cancel := context.WithTimeout(context.Background(), callFor)
		defer cancel()
		all, err := history(ctx, k.s[i])
		if err != nil {
			return Output{Unknown: true}
		}
		return Output{Count: len(all), Tail: all}
	})
}

func history(ctx context.Context, s *client.Session) (all []Entry, err error) {
	text := map[skein.TurnID]string{}
	for after := skein.Seq(0); ; {
		events, next, err := s.History(ctx, after, 500)
		if err != nil {
			return nil, err
		}
		for _, ev := range events {
			switch ev.Kind {
			case "accepted":
				text[ev.Turn] = ev.Text
			case "completed":
				var record string
				fmt.Sscanf(text[ev.Turn], "note %s", &record)
				all = append(all, Entry{Record: record, Reply: ev.Text})
			}
		}
		if next == 0 {
			return all, nil
		}
		after = next
	}
}

// final reads every session at one node.
func (f *fleet) final(a *agent) (map[string][]Entry, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := f.dial(ctx, a)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	told := map[string][]Entry{}
	for i := range sessions {
		s, err := c.Open(ctx, session(i), client.Options{Resume: true})
		if err != nil {
			return nil, err
		}
		if told[session(i)], err = history(ctx, s); err != nil {
			return nil, err
		}
	}
	return told, nil
}

// judge ends the crowd and checks what it saw against what every node says.
func (f *fleet) judge(c *crowd) {
	f.t.Helper()
	close(c.stop)
	c.wait.Wait()
	for _, k := range c.all {
		if k.err != nil {
			f.t.Errorf("client %d: %v", k.id, k.err)
		}
	}
	acked := map[string]int{}
	for _, op := range c.rec.Operations() {
		if in := op.Input.(Input); in.Kind == Append && !op.Output.(Output).Unknown {
			acked[in.Record]++
		}
	}
	var all []map[string][]Entry
	for _, a := range f.agents {
		f.until("last word of "+string(a.id), 60*time.Second, func() error {
			told, err := f.final(a)
			if err != nil {
				return err
			}
			if err := audit(c.rec.Operations(), told); len(err) > 0 { // it may lag a little
				return errors.Join(err...)
			}
			all = append(all, told)
			return nil
		})
	}
	if err := Check(c.rec.Operations(), "", all...); err != nil {
		f.t.Error(err)
	}
	f.t.Logf("%d calls, %d records acknowledged", c.rec.Len(), len(acked))
	if len(acked) < 50 {
		f.t.Errorf("only %d records were acknowledged", len(acked))
	}
}
