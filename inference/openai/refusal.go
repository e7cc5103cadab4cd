package openai

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/inference"
)

const (
	maxErrorBytes = 64 << 10
	maxDetail     = 300 // characters of the server's own words
	maxRetryAfter = time.Hour
)

// refusal turns an answer other than 200 into an error. It reads the body and leaves closing it to the caller.
func (e *Engine) refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // half a body still explains more than none
	message, code := explain(body)
	fault := e.fault(resp.StatusCode, code, message)
	fault.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return &refused{resp.StatusCode, fault}
}

// fault maps a status, or the status that an error in mid-stream names.
func (e *Engine) fault(status int, code, message string) *skein.Error {
	number := skein.CodeInternal
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == 529:
		number = skein.CodeOverloaded
	case status == http.StatusRequestEntityTooLarge || code == "context_length_exceeded":
		number = skein.CodeTooLarge
	}
	hint := ""
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		hint = " (is the base URL right? it usually ends with /v1)"
	}
	return skein.Fault(number, "the model server answers %d %s: %s%s", status, http.StatusText(status), e.hideKey(message), hint)
}

// hideKey keeps our key out of errors: servers quote a wrong one.
func (e *Engine) hideKey(message string) string {
	if e.cfg.Key == "" {
		return message
	}
	return strings.ReplaceAll(message, e.cfg.Key, "[key]")
}

// refused is an answer other than 200. It wraps inference.ErrRefused where the same request would meet it again.
type refused struct {
	status int
	fault  *skein.Error
}

func (r *refused) Error() string { return r.fault.Error() }

func (r *refused) Unwrap() []error {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return []error{r.fault}
	}
	if r.status >= 300 && r.status < 500 {
		return []error{r.fault, inference.ErrRefused}
	}
	return []error{r.fault}
}

// explain finds the message and the code in the body of an error, whichever of the usual shapes it has.
func explain(body []byte) (message, code string) {
	var shape struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &shape) != nil {
		return printable(string(body)), ""
	}
	var inner struct {
		Message string          `json:"message"`
		Code    json.RawMessage `json:"code"`
	}
	var word string
	switch {
	case json.Unmarshal(shape.Error, &inner) == nil && inner.Message != "":
		return printable(inner.Message), strings.Trim(string(inner.Code), `"`)
	case json.Unmarshal(shape.Error, &word) == nil && word != "":
		return printable(word), ""
	case shape.Message != "":
		return printable(shape.Message), ""
	case json.Unmarshal(shape.Detail, &word) == nil && word != "":
		return printable(word), ""
	}
	return printable(string(body)), ""
}

// printable cuts s to maxDetail characters and drops what would disturb a terminal or a log.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "") {
		if n++; n > maxDetail {
			b.WriteString("…")
			break
		}
		if unicode.IsSpace(r) {
			r = ' '
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		}
	}
	if out := strings.TrimSpace(b.String()); out != "" {
		return out
	}
	return "no explanation"
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date. 0: no advice.
func retryAfter(v string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
