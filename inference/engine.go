package inference

import (
	"context"
	"errors"
)

// Engine generates text with one model. Its methods may be called from many goroutines at once.
type Engine interface {
	// Load makes the model ready; an empty name means the engine's own choice. Generate loads what was not
	// loaded before.
	Load(ctx context.Context, model string) error
	// Generate starts a reply. ctx bounds the whole stream, not only this call. The caller closes the stream.
	Generate(ctx context.Context, req Request) (Stream, error)
	// Close cancels all streams; later calls of Generate return ErrClosed.
	Close() error
}

// Stream is one reply as it is written. One goroutine calls Next and Usage; Close may come from another.
type Stream interface {
	// Next waits for the next piece. It returns io.EOF when the reply is whole, and any other error when
	// it is not: a canceled stream reports context.Canceled.
	Next() (Piece, error)
	// Usage is final once Next has returned io.EOF and zero where the engine does not count.
	Usage() Usage
	// Close cancels the work behind the stream and frees it. Closing twice is fine.
	Close() error
}

// Piece is some text of a reply: valid UTF-8, never empty.
type Piece struct {
	Text string
	// Mode says on the first piece behind Request.Committed how the engine went on: ModePrefill or
	// ModePrompted. It is empty on every other piece.
	Mode string
}

// How an engine went on behind committed text.
const (
	ModePrefill  = "prefill"  // the model had the text as its own unfinished reply
	ModePrompted = "prompted" // the model was asked to go on, or started over; the seam may show
)

// Usage counts the tokens of one reply.
type Usage struct {
	PromptTokens     int
	CompletionTokens int
	Truncated        bool // the model stopped at MaxTokens or at a filter, not at an end of its own
}

// Errors for errors.Is. Another error of an engine may go away when the same request is made again.
var (
	ErrRefused = errors.New("the engine refused the request") // the same request would be refused again
	ErrCut     = errors.New("the reply was cut off")          // the stream ended before the reply did
	ErrSilent  = errors.New("the engine fell silent")         // no sign of life for the engine's timeout
	ErrClosed  = errors.New("the engine is closed")
)
