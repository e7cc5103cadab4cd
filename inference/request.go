package inference

import (
	"fmt"
	"unicode/utf8"
)

// Role says who wrote a message.
type Role string

// The roles.
const (
	RoleSystem    Role = "system"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Message is one message of the conversation so far.
type Message struct {
	Role    Role
	Content string
}

// Request asks for one reply.
type Request struct {
	Messages    []Message // oldest first; the last one is the user's
	Committed   string    // text of the reply that exists already; the stream goes on behind its last byte
	MaxTokens   int       // new tokens at most; 0: the engine's limit
	Temperature float64   // 0: always the likeliest token; up to 2
	Seed        int64     // 0: the engine's choice
}

// Limits of a request.
const (
	maxMessages = 4096
	maxBytes    = 4 << 20 // of all messages and the committed text
)

// Validate reports why no engine could answer the request; the error wraps ErrRefused.
func (r Request) Validate() error {
	if len(r.Messages) == 0 || len(r.Messages) > maxMessages {
		return fmt.Errorf("%w: %d messages, want 1 to %d", ErrRefused, len(r.Messages), maxMessages)
	}
	size := len(r.Committed)
	for i, m := range r.Messages {
		switch m.Role {
		case RoleSystem, RoleUser, RoleAssistant:
		default:
			return fmt.Errorf("%w: message %d: unknown role %.40q", ErrRefused, i, string(m.Role))
		}
		if !utf8.ValidString(m.Content) {
			return fmt.Errorf("%w: message %d is not UTF-8", ErrRefused, i)
		}
		size += len(m.Content)
	}
	switch last := r.Messages[len(r.Messages)-1].Role; {
	case last != RoleUser:
		return fmt.Errorf("%w: the last message is of role %s, want user", ErrRefused, last)
	case size > maxBytes:
		return fmt.Errorf("%w: %d bytes of text, want at most %d", ErrRefused, size, maxBytes)
	case !utf8.ValidString(r.Committed):
		return fmt.Errorf("%w: the committed text is not UTF-8", ErrRefused)
	case r.MaxTokens < 0:
		return fmt.Errorf("%w: %d tokens at most", ErrRefused, r.MaxTokens)
	case !(r.Temperature >= 0 && r.Temperature <= 2): // also refuses NaN
		return fmt.Errorf("%w: temperature %v, want 0 to 2", ErrRefused, r.Temperature)
	}
	return nil
}
