package skein

import (
	"errors"
	"fmt"
	"time"
)

// Code is the number of an error on the wire. Numbers are given once and never reordered.
type Code uint16

// The codes. Retry says whether the same request may succeed later.
const (
	CodeInternal         Code = 1  // a fault of our own; retry
	CodeMalformed        Code = 2  // a frame, field or id that cannot be read
	CodeVersion          Code = 3  // a protocol version that this node does not speak
	CodeTooLarge         Code = 4  // a field over its limit
	CodeUnauthenticated  Code = 5  // no token, or one that does not verify
	CodeTokenExpired     Code = 6  // a token past its expiry
	CodeForbidden        Code = 7  // a session of another subject
	CodeUnknownSession   Code = 8  // resume of a session that was never opened
	CodeUnknownAssistant Code = 9  // an assistant that this mesh does not have
	CodeTurnConflict     Code = 10 // the turn id was used with another text
	CodeReplyExpired     Code = 11 // a repeat of a turn whose reply is no longer stored
	CodeTurnOpen         Code = 12 // another turn of this session is still open; retry
	CodeTurnDead         Code = 13 // the turn used up its attempts
	CodeRateLimited      Code = 14 // over the subject's rate; retry
	CodeOverloaded       Code = 15 // a queue is full; nothing was done; retry
	CodeNoQuorum         Code = 16 // the region's group has no leader; retry
	CodeHomeUnreachable  Code = 17 // the session's home region cannot be reached; retry
	CodeDraining         Code = 18 // this node takes no new turns; retry elsewhere
	CodeStorageFull      Code = 19 // the disk of the group is full; retry
	CodeConflict         Code = 20 // the session has moved on since the sequence number given
	CodeFenced           Code = 21 // a newer attempt of this turn exists
	CodeUnknownOutcome   Code = 22 // the command may or may not have been committed; retry with the same id
	CodeTooManyClients   Code = 23 // the session remembers as many client instances as it may
	CodeUnknownNode      Code = 24 // no member of that name
	CodeRefused          Code = 25 // an operator's request that would break a promise
	CodeSessionClosed    Code = 26 // the session is closed: what was said can be read, a new turn needs a new session
	CodeSessionGone      Code = 27 // what the session said is deleted, by age or by an operator
)

var codeNames = map[Code]string{
	CodeInternal: "internal", CodeMalformed: "malformed", CodeVersion: "unsupported_version", CodeTooLarge: "too_large",
	CodeUnauthenticated: "unauthenticated", CodeTokenExpired: "token_expired", CodeForbidden: "forbidden",
	CodeUnknownSession: "unknown_session", CodeUnknownAssistant: "unknown_assistant", CodeTurnConflict: "turn_conflict",
	CodeReplyExpired: "reply_expired", CodeTurnOpen: "turn_open", CodeTurnDead: "turn_dead", CodeRateLimited: "rate_limited",
	CodeOverloaded: "overloaded", CodeNoQuorum: "no_quorum", CodeHomeUnreachable: "home_unreachable", CodeDraining: "draining",
	CodeStorageFull: "storage_full", CodeConflict: "conflict", CodeFenced: "fenced", CodeUnknownOutcome: "unknown_outcome",
	CodeTooManyClients: "too_many_clients", CodeUnknownNode: "unknown_node", CodeRefused: "refused",
	CodeSessionClosed: "session_closed", CodeSessionGone: "session_gone",
}

// String gives the code's name as JSON bodies and metrics carry it.
func (c Code) String() string {
	if n := codeNames[c]; n != "" {
		return n
	}
	return fmt.Sprintf("code_%d", uint16(c))
}

// Retry reports whether the same request may succeed later or elsewhere.
func (c Code) Retry() bool {
	switch c {
	case CodeInternal, CodeTurnOpen, CodeRateLimited, CodeOverloaded, CodeNoQuorum, CodeHomeUnreachable,
		CodeDraining, CodeStorageFull, CodeUnknownOutcome:
		return true
	}
	return false
}

// Error is an error with a code that crosses the wire.
type Error struct {
	Code       Code
	Detail     string        // what, in words that a user can act on; never a secret
	RetryAfter time.Duration // 0: no advice
}

// Error gives the code's name and the detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Detail
}

// Is makes errors.Is compare codes, so that an error from the wire equals the sentinel of its code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Fault makes an Error.
func Fault(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf gives the code of the first Error in err's chain, CodeInternal when there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// Sentinels for errors.Is; an Error of the same code matches whatever its detail.
var (
	ErrForbidden       = &Error{Code: CodeForbidden}
	ErrUnknownSession  = &Error{Code: CodeUnknownSession}
	ErrTurnConflict    = &Error{Code: CodeTurnConflict}
	ErrReplyExpired    = &Error{Code: CodeReplyExpired}
	ErrTurnOpen        = &Error{Code: CodeTurnOpen}
	ErrTurnDead        = &Error{Code: CodeTurnDead}
	ErrOverloaded      = &Error{Code: CodeOverloaded}
	ErrNoQuorum        = &Error{Code: CodeNoQuorum}
	ErrHomeUnreachable = &Error{Code: CodeHomeUnreachable}
	ErrDraining        = &Error{Code: CodeDraining}
	ErrConflict        = &Error{Code: CodeConflict}
	ErrFenced          = &Error{Code: CodeFenced}
	ErrUnknownOutcome  = &Error{Code: CodeUnknownOutcome}
	ErrUnknownNode     = &Error{Code: CodeUnknownNode}
	ErrSessionClosed   = &Error{Code: CodeSessionClosed}
	ErrSessionGone     = &Error{Code: CodeSessionGone}
)
