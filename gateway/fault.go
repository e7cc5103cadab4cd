package gateway

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/skein-mesh/skein"
)

// faultJSON is an error as every JSON answer carries it.
type faultJSON struct {
	Code         string `json:"code"`
	Number       uint16 `json:"number"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}

type errorJSON struct {
	Error faultJSON `json:"error"`
}

// statusError is a fault of HTTP itself, whose status its code does not tell.
type statusError struct {
	status int
	err    *skein.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func httpFault(status int, detail string) error {
	return &statusError{status: status, err: &skein.Error{Code: skein.CodeMalformed, Detail: detail}}
}

// statuses are the HTTP status of each code; what is missing is 500.
var statuses = map[skein.Code]int{
	skein.CodeMalformed:        http.StatusBadRequest,
	skein.CodeVersion:          http.StatusBadRequest,
	skein.CodeTooLarge:         http.StatusRequestEntityTooLarge,
	skein.CodeUnauthenticated:  http.StatusUnauthorized,
	skein.CodeTokenExpired:     http.StatusUnauthorized,
	skein.CodeForbidden:        http.StatusForbidden,
	skein.CodeUnknownSession:   http.StatusNotFound,
	skein.CodeUnknownAssistant: http.StatusNotFound,
	skein.CodeTurnConflict:     http.StatusConflict,
	skein.CodeReplyExpired:     http.StatusGone,
	skein.CodeTurnOpen:         http.StatusConflict,
	skein.CodeTurnDead:         http.StatusUnprocessableEntity,
	skein.CodeRateLimited:      http.StatusTooManyRequests,
	skein.CodeOverloaded:       http.StatusServiceUnavailable,
	skein.CodeNoQuorum:         http.StatusServiceUnavailable,
	skein.CodeHomeUnreachable:  http.StatusServiceUnavailable,
	skein.CodeDraining:         http.StatusServiceUnavailable,
	skein.CodeStorageFull:      http.StatusInsufficientStorage,
	skein.CodeConflict:         http.StatusConflict,
	skein.CodeFenced:           http.StatusConflict,
	skein.CodeUnknownOutcome:   http.StatusServiceUnavailable,
	skein.CodeTooManyClients:   http.StatusConflict,
	skein.CodeUnknownNode:      http.StatusNotFound,
	skein.CodeRefused:          http.StatusConflict,
	skein.CodeSessionClosed:    http.StatusConflict,
	skein.CodeSessionGone:      http.StatusGone,
}

// faultOf gives what a client is told of err. The words of an error without a code stay here.
func faultOf(err error) (status int, f faultJSON) {
	e, ok := errors.AsType[*skein.Error](err)
	if !ok {
		e = &skein.Error{Code: skein.CodeInternal, Detail: "an error of this node's own"}
	}
	status = http.StatusInternalServerError
	if s, ok := statuses[e.Code]; ok {
		status = s
	}
	if s, ok := errors.AsType[*statusError](err); ok {
		status = s.status
	}
	f = faultJSON{Code: e.Code.String(), Number: uint16(e.Code), Message: e.Detail, RetryAfterMS: e.RetryAfter.Milliseconds()}
	if f.Message == "" {
		f.Message = f.Code
	}
	if e.Code.Retry() && f.RetryAfterMS == 0 {
		f.RetryAfterMS = time.Second.Milliseconds()
	}
	return status, f
}

// writeError answers with err, unless the answer has begun.
func writeError(w http.ResponseWriter, err error) {
	status, f := faultOf(err)
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	case http.StatusUpgradeRequired:
		h.Set("Upgrade", "websocket")
	}
	if f.RetryAfterMS > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(float64(f.RetryAfterMS)/1000))))
	}
	writeJSON(w, status, errorJSON{Error: f})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","number":1,"message":"encode"}}`)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
}
