package assistant

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"
	_ "time/tzdata" // timezones of definitions, on hosts that have no zone files

	"github.com/skein-mesh/skein"
	understanding "github.com/skein-mesh/skein/assistant/intent"
	"github.com/skein-mesh/skein/assistant/retrieval"
	"github.com/skein-mesh/skein/assistant/tagger"
	"github.com/skein-mesh/skein/inference"
	"github.com/skein-mesh/skein/session"
)

//go:embed shop.yaml
var shopYAML []byte

// ErrFinal marks an error of [Assistant.Answer] that no other attempt will mend.
var ErrFinal = errors.New("assistant: no attempt can answer this")

// Assistant answers the turns of one definition. It is read-only and may be used by many goroutines at once.
type Assistant struct {
	def     *definition
	intents *understanding.Model
	tagger  *tagger.Tagger // nil: no entity is learnt
	library *retrieval.Index
	lexicon *lexicon
	deps    Deps
	offline bool // a test: mocks answer without their delay
}

// Deps are what an assistant reaches outside. The zero value answers from flows, mocks and FAQ alone.
type Deps struct {
	Engine inference.Engine         // writes what neither a flow nor the FAQ answers; nil: the fallback is said
	HTTP   *http.Client             // of HTTP tools; nil: their mocks. Redirects are never followed
	Env    func(name string) string // gives ${NAME} in tools; nil: every variable is empty
	Log    *slog.Logger             // faults of tools and of the model; nil: discard
}

// Input is one turn to answer.
type Input struct {
	Session   skein.SessionID
	Turn      skein.TurnID
	Attempt   skein.Attempt
	Text      string
	Memory    []byte         // of the session's last answer; empty: a new session
	History   []session.Turn // completed, oldest first; only a model reads it
	Committed string         // of this reply, by an earlier attempt
	Calls     []session.Call // of earlier attempts of this turn
	Now       time.Time      // for dates in replies
}

// Host is what a turn needs of the node that runs it.
type Host interface {
	// Piece takes the next piece of a reply that a model writes; it returns when the piece is taken.
	Piece(ctx context.Context, text, mode string) error
	// Call records the intent of call, runs do, and records and returns its outcome. A call that is done
	// already gives its stored outcome without do. Without a Key nothing is changed by the call.
	Call(ctx context.Context, call session.Call, do func(context.Context) (string, error)) (session.Call, error)
}

// Answer is what a turn comes to.
type Answer struct {
	Text   string // the whole reply; it begins with Input.Committed
	Memory []byte // for the next turn; at most session.MaxMemory bytes
	Source string // "flow:NAME", "faq:ID", "model", "cancel", "repeat" or "fallback"
	Intent string // what the message wants; empty when that is not known
}

// Parse reads a definition; name is used in faults. The error is of type [Faults] and holds all of them.
func Parse(name string, data []byte) (*Assistant, error) {
	d := &decoder{name: name}
	root := d.parseYAML(data)
	var def *definition
	if root != nil {
		def = d.definition(root)
	}
	if len(d.faults) > 0 {
		d.faults.sort()
		return nil, d.faults
	}
	intents, err := def.learn()
	if err != nil {
		return nil, err
	}
	tags, err := def.train()
	if err != nil {
		return nil, err
	}
	return &Assistant{def: def, intents: intents, tagger: tags, library: newLibrary(def), lexicon: newLexicon()}, nil
}

// Shop gives the assistant of the embedded example, a shop for running shoes in English and Chinese.
func Shop() (*Assistant, error) { return Parse("shop.yaml", shopYAML) }

// ID names the assistant.
func (a *Assistant) ID() string { return a.def.id }

// Version is the number of the definition.
func (a *Assistant) Version() int { return a.def.version }

// Languages are what it speaks, as "en" and "zh".
func (a *Assistant) Languages() []string { return slices.Clone(a.def.languages) }

// With gives the same assistant with what it may reach.
func (a *Assistant) With(deps Deps) *Assistant {
	b := *a
	b.deps = deps
	return &b
}

func (a *Assistant) env(name string) string {
	if a.deps.Env == nil {
		return ""
	}
	return a.deps.Env(name)
}

func (a *Assistant) log() *slog.Logger {
	if a.deps.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.deps.Log
}

// Answer answers one turn. An error asks for another attempt, unless it wraps [ErrFinal]. A quick answer does
// not touch the host.
func (a *Assistant) Answer(ctx context.Context, in Input, host Host) (Answer, error) {
	t, err := a.answer(ctx, in, host)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Text: t.text, Memory: a.encode(t.mem), Source: t.source, Intent: t.intent}, nil
}
