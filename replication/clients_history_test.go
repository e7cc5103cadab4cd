package replication

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/e2e/histories"
	"github.com/skein-mesh/skein/session"
)

const (
	historySessions = 3
	historyClients  = 6
	historyTries    = 6 // of one append
)

// teller is a client that appends to a few sessions, reads them, and sends again what has an unknown outcome. Its clock
// is wrong by skew.
type teller struct {
	id     int
	rng    *rand.Rand
	rec    *histories.Recorder
	pick   func(*rand.Rand) *Group // a node that runs, nil: none
	skew   func() time.Duration
	turns  uint64
	known  [historySessions]int // records that this client was told of
	faults []string
	broken mitigation
	deaf   bool // the first answer to each append is lost on its way
}

// mitigation is something that the histories rely on, and that a test takes away.
type mitigation uint8

const (
	repeatsAreNoticed mitigation = iota + 1 // without it every try is another turn
	readsRideTheLog                         // without it they are those of the nearest replica
)

// tell works until stop is closed.
func (c *teller) tell(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(c.rng.Int64N(int64(60 * time.Millisecond)))):
		}
		g := c.pick(c.rng)
		if g == nil {
			continue
		}
		s := c.rng.IntN(historySessions)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(200+c.rng.IntN(3800))*time.Millisecond)
		switch n := c.rng.IntN(10); {
		case n < 6:
			c.append(ctx, s)
		case n < 8:
			c.read(ctx, g, s)
		default:
			c.look(ctx, g, s)
		}
		cancel()
	}
}

func tailOf(st *session.State) (tail []histories.Entry) {
	for i := range st.Turns {
		if !st.Turns[i].Status.Open() {
			tail = append(tail, histories.Entry{Record: st.Turns[i].Text, Reply: st.Turns[i].Reply})
		}
	}
	return tail
}

// append adds a record, at any node at each try, under the same turn id; what is offered as the reply differs.
func (c *teller) append(ctx context.Context, s int) {
	c.turns++
	turn := skein.TurnID{Client: skein.ClientID(fmt.Sprintf("c%d", c.id)), Counter: c.turns}
	for try := range historyTries {
		g := c.pick(c.rng)
		if g == nil {
			return
		}
		in := histories.Input{
			Kind: histories.Append, Session: string(sid(s)), Record: turn.String(),
			Reply: fmt.Sprintf("%s try %d", turn, try), Expect: c.known[s],
		}
		id := turn
		if c.broken == repeatsAreNoticed {
			id.Counter = c.turns*historyTries + uint64(try)
		}
		out := c.rec.Do(c.id, in, func() histories.Output {
			out := c.send(ctx, g, s, id, in)
			if c.deaf && try == 0 {
				out = histories.Output{Unknown: true}
			}
			return out
		})
		if ctx.Err() != nil || out.Refused || !out.Conflict && !out.Unknown && c.rng.IntN(8) > 0 { // now and then it asks again all the same
			return
		}
	}
}

func (c *teller) send(ctx context.Context, g *Group, s int, turn skein.TurnID, in histories.Input) histories.Output {
	results, err := g.Propose(ctx, session.Command{
		Session: sid(s), Expect: skein.Seq(1 + 2*in.Expect), At: time.Now().Add(c.skew()),
		Body: session.Accept{
			Turn: turn, Subject: "ada", Text: in.Record, Runner: skein.Runner{Node: g.cfg.Node, Incarnation: 1},
			Place: skein.Place{Node: g.cfg.Node, Region: "eu"}, Reply: &session.Reply{Text: in.Reply},
		},
	})
	switch {
	case skein.CodeOf(err) == skein.CodeNoQuorum || skein.CodeOf(err) == skein.CodeOverloaded:
		return histories.Output{Refused: true} // nothing was written: what is found all the same was never sent
	case err != nil:
		return histories.Output{Unknown: true}
	}
	r := results[0]
	if r.State != nil {
		c.known[s] = max(c.known[s], int(r.State.Count))
	}
	if r.Err != nil {
		return c.refused(in, r)
	}
	t, ok := r.State.Turn(turn)
	if !ok {
		c.faults = append(c.faults, fmt.Sprintf("append %s: acknowledged, and not in the state", in.Record))
		return histories.Output{Unknown: true}
	}
	return histories.Output{Repeat: r.Duplicate, Reply: t.Reply, Count: int(r.State.Count), Tail: tailOf(r.State)}
}

// refused is what an error of the state machine tells.
func (c *teller) refused(in histories.Input, r session.Result) histories.Output {
	switch skein.CodeOf(r.Err) {
	case skein.CodeConflict:
		return histories.Output{Conflict: true, Count: int(r.State.Count), Tail: tailOf(r.State)}
	case skein.CodeStorageFull:
		return histories.Output{Refused: true}
	case skein.CodeReplyExpired: // it is there, eight turns back or more
		return histories.Output{Repeat: true, Reply: histories.Expired, Count: int(r.State.Count), Tail: tailOf(r.State)}
	default:
		c.faults = append(c.faults, fmt.Sprintf("append %s: %v", in.Record, r.Err))
		return histories.Output{Refused: true}
	}
}

// read goes through the log: the session is opened once more, which changes nothing.
func (c *teller) read(ctx context.Context, g *Group, s int) {
	c.rec.Do(c.id, histories.Input{Kind: histories.Read, Session: string(sid(s))}, func() histories.Output {
		if c.broken == readsRideTheLog {
			st, err := g.disk.store.get(sid(s))
			if err != nil || st == nil {
				return histories.Output{Unknown: true}
			}
			return c.saw(s, st)
		}
		results, err := g.Propose(ctx, openCmd(s))
		if err != nil || results[0].Err != nil {
			return histories.Output{Unknown: true}
		}
		return c.saw(s, results[0].State)
	})
}

// look reads the nearest replica, with the number that this client knows.
func (c *teller) look(ctx context.Context, g *Group, s int) {
	c.rec.Do(c.id, histories.Input{Kind: histories.Look, Session: string(sid(s)), AtLeast: c.known[s]}, func() histories.Output {
		st, err := g.Read(ctx, sid(s), skein.Seq(2*c.known[s]))
		if err != nil {
			return histories.Output{Unknown: true}
		}
		return c.saw(s, st)
	})
}

func (c *teller) saw(s int, st *session.State) histories.Output {
	c.known[s] = max(c.known[s], int(st.Count))
	return histories.Output{Count: int(st.Count), Tail: tailOf(st)}
}

// entriesOf reads a whole session as one node tells it.
func entriesOf(g *Group, id skein.SessionID) (out []histories.Entry, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	text := map[skein.TurnID]string{}
	for after := skein.Seq(0); ; {
		page, err := g.History(ctx, id, after, maxHistory)
		if err != nil || len(page) == 0 {
			return out, err
		}
		for _, ev := range page {
			switch ev.Kind {
			case session.Accepted:
				text[ev.Turn] = ev.Text
			case session.Done:
				out = append(out, histories.Entry{Record: text[ev.Turn], Reply: ev.Text})
			}
		}
		after = page[len(page)-1].Seq
	}
}

// finals asks every node for every session.
func finals(groups map[skein.NodeID]*member) (all []map[string][]histories.Entry, err error) {
	for id, m := range groups {
		told := map[string][]histories.Entry{}
		for s := range historySessions {
			if told[string(sid(s))], err = entriesOf(m.Group, sid(s)); err != nil {
				return nil, fmt.Errorf("history of %s at %s: %w", sid(s), id, err)
			}
		}
		all = append(all, told)
	}
	return all, nil
}

// crowd runs the clients of one history.
type crowd struct {
	rec     histories.Recorder
	tellers []*teller
	running sync.WaitGroup
	stop    chan struct{}
	once    sync.Once // of closing stop
}

func newCrowd(s *storm, seed uint64, broken mitigation) *crowd {
	c := &crowd{stop: make(chan struct{})}
	for i := range historyClients {
		c.tellers = append(c.tellers, &teller{
			id: i, rng: rand.New(rand.NewPCG(seed, uint64(100+i))), rec: &c.rec, pick: s.pick, skew: s.skewed, broken: broken,
		})
	}
	for _, t := range c.tellers {
		c.running.Go(func() { t.tell(c.stop) })
	}
	return c
}

// end waits for the calls under way, and gives what was wrong with single answers.
func (c *crowd) end() (faults []string) {
	c.once.Do(func() { close(c.stop) })
	c.running.Wait()
	for _, t := range c.tellers {
		faults = append(faults, t.faults...)
	}
	return faults
}
