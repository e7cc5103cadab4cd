package turn

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// Store is the region's replicated sessions.
type Store interface {
	Propose(ctx context.Context, cmds ...session.Command) ([]session.Result, error)
	Read(ctx context.Context, id skein.SessionID, after skein.Seq) (*session.State, error)
	History(ctx context.Context, id skein.SessionID, after skein.Seq, limit int) ([]session.Event, error)
	// QuorumOf reports whether the session's group can be expected to commit.
	QuorumOf(id skein.SessionID) bool
}

// Answerer answers one turn; a is where it puts long text and outside effects.
type Answerer interface {
	Answer(ctx context.Context, q Question, a *Attempt) (Answer, error)
}

// Question is a turn and what is known of its session.
type Question struct {
	Assistant string
	Session   skein.SessionID
	Turn      skein.TurnID
	Attempt   skein.Attempt
	Text      string
	Memory    []byte
	History   []session.Turn // completed turns, oldest first
	Committed string         // of this turn's reply, by an earlier attempt
	Calls     []session.Call // of earlier attempts
	Now       time.Time
}

// Answer is a whole reply; Text begins with what was committed.
type Answer struct {
	Text   string
	Memory []byte
	Source string
}

// ErrFinal marks an error of an Answerer that another attempt would not mend: the turn dies.
var ErrFinal = errors.New("no further attempt")

// Config of a Desk; every field but Log and Observe is needed.
type Config struct {
	Store    Store
	Answerer Answerer
	Self     skein.Runner
	Place    skein.Place
	// Knows reports whether a new session may name this assistant; nil: any.
	Knows   func(assistant string) bool
	MaxRuns int // turns that run here at once; more are refused as overloaded; 0: 4096
	Log     *slog.Logger
	Observe func(Outcome) // called once for each run that ended here; nil: nothing
}

// Outcome tells of a run that ended.
type Outcome struct {
	Status  string // "completed", "failed", "fenced", "refused", "stopped"
	Source  string
	Quick   bool // accepted and completed by one command
	Attempt skein.Attempt
	Took    time.Duration
}

// Timing of a desk.
const (
	signEvery   = 50 * time.Millisecond // a follower hears something at least this often
	cachedState = 4096                  // sessions whose newest state is kept at hand
	waitOpen    = 30 * time.Second      // how long a turn waits for the one before it
	maxRunTime  = 15 * time.Minute      // one attempt
	maxRetries  = 16                    // of a turn whose session moved on meanwhile
)

// Desk runs turns on this node and lets clients follow turns wherever they run.
type Desk struct {
	cfg    Config
	states *lru.Cache[skein.SessionID, *session.State]

	mu       sync.Mutex // guards the fields below
	runs     map[runKey]*run
	draining bool
	stopped  bool
	idle     chan struct{} // closed when runs is empty and draining

	ctx    context.Context
	cancel context.CancelCauseFunc
	crew   crew
	room   *admission
}

type runKey struct {
	session skein.SessionID
	turn    skein.TurnID
	attempt skein.Attempt // 0: not yet accepted
}

// New makes a Desk; its runs live until Run's context ends.
func New(cfg Config) *Desk {
	if cfg.MaxRuns == 0 {
		cfg.MaxRuns = 4096
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Knows == nil {
		cfg.Knows = func(string) bool { return true }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Outcome) {}
	}
	states, _ := lru.New[skein.SessionID, *session.State](cachedState) // fails only for a size below 1
	d := &Desk{cfg: cfg, states: states, runs: make(map[runKey]*run), room: newAdmission()}
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	return d
}

var errStopped = errors.New("the node is stopping")

// Run waits for ctx to end, ends the runs and waits for them. Turns that were open are taken over elsewhere.
func (d *Desk) Run(ctx context.Context) error {
	<-ctx.Done()
	d.mu.Lock()
	d.draining, d.stopped = true, true
	d.mu.Unlock()
	d.cancel(errStopped)
	d.crew.close()
	return nil
}

// SetDraining refuses new turns, or takes them again. Turns that run go on.
func (d *Desk) SetDraining(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = on || d.stopped
}

// Idle waits until no turn runs here, or ctx ends.
func (d *Desk) Idle(ctx context.Context) error {
	for {
		d.mu.Lock()
		if len(d.runs) == 0 {
			d.mu.Unlock()
			return nil
		}
		if d.idle == nil {
			d.idle = make(chan struct{})
		}
		idle := d.idle
		d.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Running counts the turns that run here.
func (d *Desk) Running() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.runs)
}

// Open finds a session and, when asked to, makes it. A fresh opening is answered from the log; any other reads
// first, so a resume writes nothing. Who could run no turn is sent away before that costs anything.
func (d *Desk) Open(ctx context.Context, o session.Opening) (*session.State, bool, error) {
	if after := d.room.full(time.Now()); after > 0 {
		return nil, false, d.overloaded(after)
	}
	if o.Fresh {
		return d.settle(ctx, o)
	}
	after := skein.Seq(0)
	if o.Seen > 0 {
		after = o.Seen - 1
	}
	st, err := d.cfg.Store.Read(ctx, o.Session, after)
	if errors.Is(err, skein.ErrUnknownSession) {
		return d.settle(ctx, o)
	}
	if err != nil {
		return nil, false, err
	}
	if err := st.Allow(o.Subject); err != nil {
		return nil, false, err
	}
	return d.remember(st), false, nil
}

// settle asks the log, since a replica that lags does not know every session, nor its newest turns.
func (d *Desk) settle(ctx context.Context, o session.Opening) (*session.State, bool, error) {
	if o.Create && o.Assistant != "" && !d.cfg.Knows(o.Assistant) {
		return nil, false, skein.Fault(skein.CodeUnknownAssistant, "this mesh has no assistant %q", o.Assistant)
	}
	var body session.Body = session.Renew{} // of no turn: refused by any session, with its state
	if o.Create {
		body = session.Open{Subject: o.Subject, Assistant: o.Assistant, Home: d.cfg.Place.Region}
	}
	res, err := d.propose(ctx, session.Command{Session: o.Session, Body: body})
	if err != nil {
		return nil, false, err
	}
	if res.State == nil {
		return nil, false, res.Err
	}
	if err := res.State.Allow(o.Subject); err != nil {
		return nil, false, err
	}
	return res.State, o.Create && !res.Duplicate, nil
}

// History gives a page of the events of a session.
func (d *Desk) History(ctx context.Context, o session.Opening, after skein.Seq, limit int) ([]session.Event, error) {
	o.Create = false
	if _, _, err := d.Open(ctx, o); err != nil {
		return nil, err
	}
	return d.cfg.Store.History(ctx, o.Session, after, limit)
}

// Close ends a conversation for its subject. expect is the sequence number that it must be at, 0: any.
func (d *Desk) Close(ctx context.Context, o session.Opening, expect skein.Seq) (*session.State, error) {
	res, err := d.propose(ctx, session.Command{Session: o.Session, Expect: expect, Body: session.Close{Subject: o.Subject, Reason: "client"}})
	if err == nil {
		err = res.Err
	}
	if err != nil {
		return nil, err
	}
	return res.State, nil
}

// propose sends one command and keeps the state that comes back.
func (d *Desk) propose(ctx context.Context, c session.Command) (session.Result, error) {
	c.At = time.Now().Truncate(time.Millisecond)
	res, err := d.cfg.Store.Propose(ctx, c)
	if err != nil {
		return session.Result{}, err
	}
	if res[0].State != nil {
		d.remember(res[0].State)
	}
	return res[0], nil
}

// remember keeps st unless a newer state is kept already, and gives the newer one.
func (d *Desk) remember(st *session.State) *session.State {
	if old, ok := d.states.Get(st.ID); ok && old.Seq > st.Seq {
		return old
	}
	d.states.Add(st.ID, st)
	return st
}

func (d *Desk) state(ctx context.Context, id skein.SessionID) (*session.State, error) {
	if st, ok := d.states.Get(id); ok {
		return st, nil
	}
	st, err := d.cfg.Store.Read(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	return d.remember(st), nil
}
