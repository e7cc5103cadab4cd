package inference

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// FakeConfig says how a Fake behaves. The zero value answers at once.
type FakeConfig struct {
	PieceRunes int           // characters of a piece; 0: 8
	Delay      time.Duration // before every piece
	Sentences  int           // of a reply, behind the one that names the question; 0: 3

	FailAfter int   // pieces of a stream before Fail is returned; read only with Fail
	Fail      error // nil: never
}

// Fake is an engine whose reply depends on the last message and the seed alone, so that any Fake goes on
// exactly where another stopped. It counts a piece as a token.
type Fake struct {
	cfg    FakeConfig
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	mu     sync.Mutex // guards model
	model  string
}

// NewFake makes a Fake.
func NewFake(cfg FakeConfig) *Fake {
	if cfg.PieceRunes <= 0 {
		cfg.PieceRunes = 8
	}
	if cfg.Sentences <= 0 {
		cfg.Sentences = 3
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Fake{cfg: cfg, ctx: ctx, cancel: cancel}
}

// Load takes any name.
func (f *Fake) Load(ctx context.Context, model string) error {
	if f.ctx.Err() != nil {
		return ErrClosed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.model = model
	return ctx.Err()
}

// Model is the name that was loaded last.
func (f *Fake) Model() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.model
}

// Close cancels all streams.
func (f *Fake) Close() error {
	f.cancel()
	return nil
}

// Generate streams the text of Reply behind req.Committed. Where that is no beginning of the text, the stream is
// another text, in ModePrompted.
func (f *Fake) Generate(ctx context.Context, req Request) (Stream, error) {
	if f.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	text, mode := f.Reply(req), ""
	if req.Committed != "" {
		rest, ok := strings.CutPrefix(text, req.Committed)
		mode = ModePrefill
		if !ok {
			mode = ModePrompted
			rest = " " + strings.Join(sentences(req.Committed, req.Seed, 1), " ")
		}
		text = rest
	}
	s := &fakeStream{fake: f, cfg: f.cfg, rest: text, mode: mode, most: req.MaxTokens}
	for _, m := range req.Messages {
		s.usage.PromptTokens += utf8.RuneCountInString(m.Content)/4 + 1
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.unhook = context.AfterFunc(f.ctx, s.cancel)
	return s, nil
}

// Reply is the whole text that the Fake answers req with, whatever is committed and however many tokens
// are allowed.
func (f *Fake) Reply(req Request) string {
	asked := ""
	if n := len(req.Messages); n > 0 {
		asked = req.Messages[n-1].Content
	}
	text := sentences(asked, req.Seed, f.cfg.Sentences)
	return fmt.Sprintf("You asked: %s. %s", strings.TrimRight(asked, ".?!。？！ "), strings.Join(text, " "))
}

// The words that sentences are made of; some are not ASCII, so that a cut between bytes shows.
var fakeWords = [...]string{
	"order", "parcel", "shoe", "size", "refund", "opening", "hour", "store", "Größe", "café", "订单", "尺码", "退款", "—", "naïve", "snow ☃",
}

func sentences(seedText string, seed int64, n int) []string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s", seed, seedText)
	state := h.Sum64()
	out := make([]string, n)
	for i := range out {
		words := make([]string, 6)
		for j := range words {
			state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
			words[j] = fakeWords[state>>60]
		}
		out[i] = fmt.Sprintf("(%d) %s.", i+1, strings.Join(words, " "))
	}
	return out
}

type fakeStream struct {
	fake   *Fake
	cfg    FakeConfig
	ctx    context.Context
	cancel context.CancelFunc
	unhook func() bool
	rest   string
	mode   string
	most   int
	usage  Usage
}

func (s *fakeStream) Next() (Piece, error) {
	if err := s.wait(); err != nil {
		return Piece{}, fmt.Errorf("fake: %w", err)
	}
	switch {
	case s.cfg.Fail != nil && s.usage.CompletionTokens >= s.cfg.FailAfter:
		return Piece{}, fmt.Errorf("fake: %w", s.cfg.Fail)
	case s.rest == "":
		return Piece{}, io.EOF
	case s.most > 0 && s.usage.CompletionTokens >= s.most:
		s.usage.Truncated = true
		return Piece{}, io.EOF
	}
	p := Piece{Text: firstRunes(s.rest, s.cfg.PieceRunes), Mode: s.mode}
	s.rest, s.mode = s.rest[len(p.Text):], ""
	s.usage.CompletionTokens++
	return p, nil
}

func (s *fakeStream) wait() error {
	if s.fake.ctx.Err() != nil {
		return ErrClosed
	}
	if err := s.ctx.Err(); err != nil || s.cfg.Delay <= 0 || s.rest == "" {
		return err
	}
	t := time.NewTimer(s.cfg.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *fakeStream) Usage() Usage { return s.usage }

func (s *fakeStream) Close() error {
	s.unhook()
	s.cancel()
	return nil
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
