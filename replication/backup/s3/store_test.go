package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/replication/backup/s3/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID     = "AKIATESTTESTTEST"
	testSecret = "a/secret+of+forty/characters"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

var goodEnv = environment("AWS_ACCESS_KEY_ID", testID, "AWS_SECRET_ACCESS_KEY", testSecret)

// serve starts a server and gives the address of a place in its bucket.
func serve(t *testing.T) (*s3test.Server, string) {
	t.Helper()
	s := s3test.New("mesh", testID, testSecret)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, "s3://mesh/some/place?endpoint=" + url.QueryEscape(h.URL)
}

func open(t *testing.T, at string, env func(string) string) *Store {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(u, Config{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func noise(size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(data)
	return data
}

func get(t *testing.T, s *Store, key string) []byte {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// plain hides what else a reader can do, as a stream's reader would.
type plain struct{ io.Reader }

func TestObjects(t *testing.T) {
	server, at := serve(t)
	s := open(t, at, goodEnv)
	for _, size := range []int{0, 1, 100_000, leastPart, leastPart + 1, 2*leastPart + 77} {
		data := noise(size)
		key := fmt.Sprintf("eu/size-%d", size)
		if err := s.Put(t.Context(), key, plain{bytes.NewReader(data)}, int64(size)); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got := get(t, s, key); !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d came back, others than went", size, len(got))
		}
	}
	list, err := s.List(t.Context(), "eu/")
	if err != nil || len(list) != 6 || list[0].Key != "eu/size-0" || list[0].Modified.IsZero() {
		t.Errorf("list is %v, %v", list, err)
	}
	if keys := server.Keys(); len(keys) != 6 || !strings.HasPrefix(keys[0], "some/place/eu/") {
		t.Errorf("the server has %v", keys)
	}
	for _, key := range []string{"eu/size-1", "eu/never"} {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
		if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get %s: %v", key, err)
		}
	}
	if err := s.Put(t.Context(), "a/../b", strings.NewReader(""), 0); err == nil {
		t.Error("a key that climbs is taken")
	}
}

// A source that fails, or holds more or less than was said, leaves nothing.
func TestBadSource(t *testing.T) {
	server, at := serve(t)
	s := open(t, at, goodEnv)
	boom := errors.New("boom")
	for _, size := range []int64{10, leastPart + 10} {
		for name, r := range map[string]io.Reader{
			"fails": io.MultiReader(bytes.NewReader(noise(int(size)-5)), &failing{boom}),
			"short": bytes.NewReader(noise(int(size) - 5)),
			"long":  bytes.NewReader(noise(int(size) + 5)),
		} {
			err := s.Put(t.Context(), "eu/x", plain{r}, size)
			if err == nil || name == "fails" && !errors.Is(err, boom) {
				t.Errorf("%s at %d: %v", name, size, err)
			}
			if keys := server.Keys(); len(keys) != 0 || server.Uploads() != 0 {
				t.Errorf("%s at %d: %v and %d uploads stay", name, size, keys, server.Uploads())
			}
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// What an operator has set wrongly is named with the way out.
func TestRefusals(t *testing.T) {
	_, at := serve(t)
	none := filepath.Join(t.TempDir(), "none")
	tests := []struct {
		name string
		at   string
		env  func(string) string
		want string
	}{
		{"a wrong key id", at, environment("AWS_ACCESS_KEY_ID", "AKIAWRONG", "AWS_SECRET_ACCESS_KEY", testSecret), "the key is wrong"},
		{"a wrong secret", at, environment("AWS_ACCESS_KEY_ID", testID, "AWS_SECRET_ACCESS_KEY", "wrong"), "the key is wrong"},
		{"no key", at, environment("AWS_SHARED_CREDENTIALS_FILE", none), "AWS_ACCESS_KEY_ID"},
		{"no key and no home", at, environment(), "AWS_ACCESS_KEY_ID"},
		{"no bucket", strings.Replace(at, "//mesh", "//other", 1), goodEnv, "no such bucket"},
		{"no server", "s3://mesh/?endpoint=http%3A%2F%2F127.0.0.1%3A1&region=x", goodEnv, "connection refused"},
		{"an endpoint that is none", "s3://mesh/?endpoint=ftp://x", goodEnv, "http://HOST:PORT"},
		{"a parameter that is none", "s3://mesh/?regoin=x", goodEnv, "regoin"},
		{"a prefix that climbs", "s3://mesh/a/../b", goodEnv, "prefix"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.at)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(u, Config{Env: tt.env})
			if err == nil {
				defer s.Close()
				err = s.Put(t.Context(), "eu/x", strings.NewReader("x"), 1)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("put: got %v, want %q", err, tt.want)
			}
			if s == nil {
				return
			}
			if _, err := s.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("list: got %v, want %q", err, tt.want)
			}
			if err := s.Delete(t.Context(), "eu/x"); err == nil {
				t.Error("delete: no error")
			}
		})
	}
}

func TestKeyFile(t *testing.T) {
	server, at := serve(t)
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = x\n[mesh]\naws_access_key_id = " + testID + "\naws_secret_access_key = " + testSecret + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, at, environment("AWS_SHARED_CREDENTIALS_FILE", file, "AWS_PROFILE", "mesh"))
	if err := s.Put(t.Context(), "x", strings.NewReader("x"), 1); err != nil || len(server.Keys()) != 1 {
		t.Errorf("%v, %v", err, server.Keys())
	}
}

func answer(status int, code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
	}
}

// cut takes some of the request and ends the connection.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

// A server that stumbles is asked again; one that refuses, or is full, is not.
func TestStumbles(t *testing.T) {
	tests := []struct {
		name  string
		times int32 // that the fault shows, of uploads
		fault func(http.ResponseWriter)
		want  string
		is    error
	}{
		{"500 twice", 2, answer(500, "InternalError"), "", nil},
		{"slow down", 1, answer(503, "SlowDown"), "", nil},
		{"a cut connection", 2, cut, "", nil},
		{"403", 99, answer(403, "AccessDenied"), "the key may not do that", nil},
		{"full", 99, answer(507, "XMinioStorageFull"), "make room", backup.ErrNoSpace},
		{"over the quota", 99, answer(400, "QuotaExceeded"), "make room", backup.ErrNoSpace},
		{"a wrong clock", 99, answer(403, "RequestTimeTooSkewed"), "clock", nil},
	}
	for _, tt := range tests {
		for _, size := range []int{10, leastPart + 10} {
			t.Run(fmt.Sprint(tt.name, " ", size), func(t *testing.T) {
				server, at := serve(t)
				s := open(t, at, goodEnv)
				if err := s.Put(t.Context(), "eu/older", strings.NewReader("older"), 5); err != nil {
					t.Fatal(err)
				}
				var n atomic.Int32
				server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPut || n.Add(1) > tt.times {
						return false
					}
					io.CopyN(io.Discard, r.Body, 5)
					tt.fault(w)
					return true
				}
				data := noise(size)
				err := s.Put(t.Context(), "eu/x", plain{bytes.NewReader(data)}, int64(size))
				if tt.want == "" {
					if err != nil || !bytes.Equal(get(t, s, "eu/x"), data) {
						t.Errorf("put: %v", err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if keys := server.Keys(); !slices.Equal(keys, []string{"some/place/eu/older"}) || server.Uploads() != 0 {
					t.Errorf("%v and %d uploads stay", keys, server.Uploads())
				}
			})
		}
	}
}

// A read that is cut is an error, never a shorter object.
func TestCutRead(t *testing.T) {
	server, at := serve(t)
	s := open(t, at, goodEnv)
	key, err := backup.NewKey("ours.example", []byte(strings.Repeat("o", 32)))
	if err != nil {
		t.Fatal(err)
	}
	state := noise(300_000)
	m, err := backup.Write(t.Context(), s, key, backup.Manifest{Region: "eu", Groups: 1}, func(context.Context, uint32) (backup.Part, io.ReadCloser, error) {
		return backup.Part{Hash: strings.Repeat("00", 32), Size: int64(len(state))}, io.NopCloser(bytes.NewReader(state)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func() ([]byte, error) {
		r, err := backup.OpenPart(t.Context(), s, key, m, 0)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	if got, err := read(); err != nil || !bytes.Equal(got, state) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "group-0") {
			return false
		}
		w.Header().Set("Content-Length", "300400")
		w.Header().Set("ETag", `"0"`)
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
		w.Write(noise(100_000))
		return true
	}
	if got, err := read(); err == nil {
		t.Errorf("%d bytes without an error", len(got))
	}
}

func TestStopped(t *testing.T) {
	server, at := serve(t)
	s := open(t, at, goodEnv)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	server.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			cancel()
			<-stopped // slower than anybody waits
		}
		return r.Method == http.MethodPut
	}
	if err := s.Put(ctx, "eu/x", strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it cancelled", err)
	}
	close(stopped)
}
