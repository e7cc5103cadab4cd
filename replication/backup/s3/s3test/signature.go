package s3test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Signature Version 4 as in "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference.
const (
	algorithm   = "AWS4-HMAC-SHA256"
	chunked     = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	unsigned    = "UNSIGNED-PAYLOAD"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	maxPayload  = 256 << 20
)

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/((\d{8})/([^/]+)/s3/aws4_request), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$`)

var (
	errMissing = errors.New("AccessDenied")
	errKeyID   = errors.New("InvalidAccessKeyId")
	errSigned  = errors.New("SignatureDoesNotMatch")
	errHash    = errors.New("XAmzContentSHA256Mismatch")
)

// authorize checks the signature of r and gives its payload.
func (s *Server) authorize(r *http.Request) (io.Reader, error) {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return nil, errMissing
	}
	id, scope, day, region, names, signature := m[1], m[2], m[3], m[4], m[5], m[6]
	if id != s.KeyID {
		return nil, errKeyID
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	sum := sha256.Sum256([]byte(canonical(r, names, payload)))
	date := r.Header.Get("X-Amz-Date")
	key := mac(mac(mac(mac([]byte("AWS4"+s.Secret), day), region), "s3"), "aws4_request")
	text := strings.Join([]string{algorithm, date, scope, hex.EncodeToString(sum[:])}, "\n")
	if !hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac(key, text)))) {
		return nil, errSigned
	}
	switch payload {
	case unsigned:
		return r.Body, nil
	case chunked:
		return &chunks{r: bufio.NewReader(r.Body), key: key, head: "AWS4-HMAC-SHA256-PAYLOAD\n" + date + "\n" + scope, last: signature}, nil
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != payload {
		return nil, errHash
	}
	return bytes.NewReader(data), nil
}

func canonical(r *http.Request, names, payload string) string {
	var headers strings.Builder
	for name := range strings.SplitSeq(names, ";") {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	var query []string
	for name, values := range r.URL.Query() {
		for _, v := range values {
			query = append(query, escape(name)+"="+escape(v))
		}
	}
	slices.Sort(query)
	return strings.Join([]string{r.Method, r.URL.EscapedPath(), strings.Join(query, "&"), headers.String(), names, payload}, "\n")
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// chunks reads a payload in signed chunks.
type chunks struct {
	r    *bufio.Reader
	key  []byte
	head string
	last string // signature of the chunk before
	data []byte
	done bool
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.data) == 0 {
		if c.done {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.data)
	c.data = c.data[n:]
	return n, nil
}

func (c *chunks) next() error {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	size, signature, ok := strings.Cut(strings.TrimSuffix(line, "\r\n"), ";chunk-signature=")
	n, err := strconv.ParseInt(size, 16, 32)
	if !ok || err != nil || n > maxPayload {
		return errSigned
	}
	c.data = make([]byte, n)
	if _, err := io.ReadFull(c.r, c.data); err != nil {
		return err
	}
	sum := sha256.Sum256(c.data)
	text := strings.Join([]string{c.head, c.last, emptySHA256, hex.EncodeToString(sum[:])}, "\n")
	if !hmac.Equal([]byte(signature), []byte(hex.EncodeToString(mac(c.key, text)))) {
		return errSigned
	}
	c.last, c.done = signature, n == 0
	_, err = c.r.Discard(len("\r\n"))
	return err
}
