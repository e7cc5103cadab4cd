// Package s3test is a small S3 server in memory, for tests: one bucket, path-style addresses, single and multipart
// uploads, lists, and AWS Signature Version 4 checked on every request, signed chunks included. It is not a copy of
// any real server: what it lets pass, another one may refuse.
package s3test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is the handler. Its fields may be changed only while it serves nobody.
type Server struct {
	Bucket, KeyID, Secret string

	// Fault may answer a request itself, after its signature was checked: true means that it did.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex // guards the fields below
	objects map[string]object
	uploads map[string]map[int][]byte
	nextID  int
}

type object struct {
	data []byte
	at   time.Time
}

// New makes a server with one empty bucket.
func New(bucket, keyID, secret string) *Server {
	return &Server{Bucket: bucket, KeyID: keyID, Secret: secret, objects: map[string]object{}, uploads: map[string]map[int][]byte{}}
}

// Keys lists the objects; Uploads counts the uploads that were begun and neither completed nor aborted.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Uploads counts the uploads that are neither completed nor aborted.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := s.authorize(r)
	if err != nil {
		fail(w, http.StatusForbidden, err.Error())
		return
	}
	if s.Fault != nil && s.Fault(w, r) {
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != s.Bucket {
		fail(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	q := r.URL.Query()
	switch {
	case key == "" && q.Has("location"):
		fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
	case key == "" && r.Method == http.MethodGet:
		s.list(w, q.Get("prefix"), q.Get("continuation-token"))
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.get(w, r, key)
	case r.Method == http.MethodDelete:
		s.remove(w, key, q.Get("uploadId"))
	case r.Method == http.MethodPut:
		s.put(w, body, key, q.Get("uploadId"), q.Get("partNumber"))
	case r.Method == http.MethodPost:
		s.post(w, body, key, q.Has("uploads"), q.Get("uploadId"))
	default:
		fail(w, http.StatusNotImplemented, "NotImplemented")
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

// pageSize is small, so that lists have several pages in tests.
const pageSize = 3

func (s *Server) list(w http.ResponseWriter, prefix, after string) {
	type entry struct {
		Key          string
		LastModified string
		Size         int
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []entry
	}
	for _, key := range s.Keys() {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if len(page.Contents) == pageSize {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[pageSize-1].Key
			break
		}
		s.mu.Lock()
		o := s.objects[key]
		s.mu.Unlock()
		page.Contents = append(page.Contents, entry{key, o.at.UTC().Format("2006-01-02T15:04:05.000Z"), len(o.data)})
	}
	out, _ := xml.Marshal(page)
	w.Header().Set("Content-Type", "application/xml")
	w.Write(out)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) {
	s.mu.Lock()
	o, ok := s.objects[key]
	s.mu.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
	w.Header().Set("ETag", etag(o.data))
	w.Header().Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	if r.Method == http.MethodGet {
		w.Write(o.data)
	}
}

func (s *Server) remove(w http.ResponseWriter, key, upload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if upload != "" {
		delete(s.uploads, upload)
	} else {
		delete(s.objects, key)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) put(w http.ResponseWriter, body io.Reader, key, upload, part string) {
	data, err := io.ReadAll(body)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("ETag", etag(data))
	if upload == "" {
		s.objects[key] = object{data, time.Now()}
		return
	}
	n, err := strconv.Atoi(part)
	if err != nil || s.uploads[upload] == nil {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	s.uploads[upload][n] = data
}

func (s *Server) post(w http.ResponseWriter, body io.Reader, key string, begin bool, upload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/xml")
	if begin {
		s.nextID++
		id := strconv.Itoa(s.nextID)
		s.uploads[id] = map[int][]byte{}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>", s.Bucket, key, id)
		return
	}
	var want struct {
		Part []struct{ PartNumber int }
	}
	if err := xml.NewDecoder(body).Decode(&want); err != nil || s.uploads[upload] == nil {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	var data []byte
	for _, p := range want.Part {
		data = append(data, s.uploads[upload][p.PartNumber]...)
	}
	delete(s.uploads, upload)
	s.objects[key] = object{data, time.Now()}
	fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>", s.Bucket, key, etag(data))
}

func etag(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
