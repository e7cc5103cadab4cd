package s3

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

var errAnswered = errors.New("the server answered before it had everything")

// ownBodies keeps net/http from reading a request's body after the answer: an early answer leaves its writer at work,
// while minio-go seeks in the same reader to send it again.
type ownBodies struct{ http.RoundTripper }

// RoundTrip satisfies http.RoundTripper.
func (t ownBodies) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return t.RoundTripper.RoundTrip(req)
	}
	body := &ownBody{body: req.Body}
	req = req.WithContext(req.Context()) // a copy: a RoundTripper changes no request
	req.Body, req.GetBody = body, nil
	defer body.Close()
	return t.RoundTripper.RoundTrip(req)
}

type ownBody struct {
	mu    sync.Mutex // guards the fields below, and is held while the body is read
	body  io.ReadCloser
	ended bool
}

func (b *ownBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errAnswered
	}
	return b.body.Read(p)
}

func (b *ownBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil
	}
	b.ended = true
	return b.body.Close()
}
