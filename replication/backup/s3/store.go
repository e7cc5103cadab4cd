package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/skein-mesh/skein/replication/backup"
)

const (
	attempts    = 6           // of one request
	stalled     = time.Minute // on a connection on which nothing moves
	leastPart   = 16 << 20    // bytes of one part of an upload
	mostParts   = 9_000       // of one upload; S3 takes 10,000
	dialTimeout = 10 * time.Second
)

// Config says how a bucket is reached. Env is the environment of the process: AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN), else the profile AWS_PROFILE of the file
// AWS_SHARED_CREDENTIALS_FILE, which is ~/.aws/credentials by default; AWS_ENDPOINT_URL and AWS_REGION.
type Config struct {
	Env func(string) string
}

// Store is a backup.Store in a bucket.
type Store struct {
	client         *minio.Client
	core           minio.Core
	http           *http.Transport
	bucket, prefix string
	endpoint       string
}

var _ backup.Store = (*Store)(nil)

// Open makes a Store of s3://BUCKET/PREFIX?endpoint=URL&region=NAME; endpoint and region go before the environment,
// without either it is Amazon's. Nothing is sent yet: the first use shows whether the key is right.
func Open(u *url.URL, cfg Config) (*Store, error) {
	s := &Store{bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if s.prefix != "" {
		if err := backup.CheckKey(s.prefix); err != nil {
			return nil, fmt.Errorf("s3 prefix: %w", err)
		}
		s.prefix += "/"
	}
	q := u.Query()
	for name := range q {
		if name != "endpoint" && name != "region" {
			return nil, fmt.Errorf("s3 URL: unknown parameter %.40q: want endpoint or region", name)
		}
	}
	s.endpoint = first(q.Get("endpoint"), cfg.Env("AWS_ENDPOINT_URL_S3"), cfg.Env("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com")
	e, err := url.Parse(s.endpoint)
	if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" {
		return nil, fmt.Errorf("s3 endpoint %.100q: want http://HOST:PORT or https://HOST", s.endpoint)
	}
	creds, err := findKey(cfg.Env)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	s.http = &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: stalled / 2, TLSHandshakeTimeout: dialTimeout,
		ResponseHeaderTimeout: stalled, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &movingConn{Conn: conn}, nil
		},
	}
	s.client, err = minio.New(e.Host, &minio.Options{
		Creds: creds, Secure: e.Scheme == "https", Transport: ownBodies{s.http}, MaxRetries: attempts,
		Region: first(q.Get("region"), cfg.Env("AWS_REGION"), cfg.Env("AWS_DEFAULT_REGION")),
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	s.core = minio.Core{Client: s.client}
	return s, nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// errNoKey says where a key is looked for.
var errNoKey = errors.New("no S3 key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of the process " +
	"that reaches the bucket (of the node, for `skein backup`), or write them into the file that AWS_SHARED_CREDENTIALS_FILE names (~/.aws/credentials)")

func findKey(env func(string) string) (*credentials.Credentials, error) {
	if id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		return credentials.NewStaticV4(id, secret, env("AWS_SESSION_TOKEN")), nil
	}
	file := env("AWS_SHARED_CREDENTIALS_FILE")
	if file == "" {
		if env("HOME") == "" {
			return nil, errNoKey
		}
		file = filepath.Join(env("HOME"), ".aws", "credentials")
	}
	creds := credentials.NewFileAWSCredentials(file, first(env("AWS_PROFILE"), "default"))
	v, err := creds.GetWithContext(nil)
	if errors.Is(err, fs.ErrNotExist) || err == nil && v.AccessKeyID == "" {
		return nil, errNoKey
	}
	if err != nil {
		return nil, fmt.Errorf("S3 key in %s: %w", file, err)
	}
	return creds, nil
}

// movingConn gives up when nothing moves for a while.
type movingConn struct{ net.Conn }

func (c *movingConn) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(stalled))
	return c.Conn.Read(p)
}

func (c *movingConn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(stalled))
	return c.Conn.Write(p)
}

// Close ends idle connections.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Put satisfies backup.Store. What does not fit into one part is uploaded in several, each of which is kept in memory
// until the server has it, so that it can be sent again.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := backup.CheckKey(key); err != nil {
		return err
	}
	counted := &counter{r: r}
	part := max(leastPart, (size/mostParts+1<<20-1)&^(1<<20-1))
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: uint64(part), NumThreads: 1}
	var body io.Reader = counted
	if size <= part {
		data, err := io.ReadAll(io.LimitReader(counted, size))
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		if int64(len(data)) != size {
			return fmt.Errorf("write %s: %d bytes came, not %d", key, len(data), size)
		}
		body = bytes.NewReader(data)
	}
	if _, err := s.client.PutObject(ctx, s.bucket, s.prefix+key, body, size, opts); err != nil {
		if counted.err != nil {
			return fmt.Errorf("write %s: %w", key, counted.err)
		}
		return s.fault("write", key, err)
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(counted, 1)); err != nil || n != 0 {
		return errors.Join(fmt.Errorf("write %s: more than %d bytes came", key, size), s.Delete(ctx, key))
	}
	return nil
}

// counter keeps the error of what is read, which minio-go would wrap beyond recognition.
type counter struct {
	r   io.Reader
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// Get satisfies backup.Store.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := backup.CheckKey(key); err != nil {
		return nil, err
	}
	r, _, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fault("read", key, err)
	}
	return r, nil
}

// List satisfies backup.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out []backup.Object
	var fault error
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		switch {
		case fault != nil: // the channel is read to its end, which cancel brings near
		case o.Err != nil:
			fault = s.fault("list", prefix, o.Err)
		case len(out) == backup.MaxObjects:
			fault = fmt.Errorf("list %s in %s: more than %d objects", prefix, s, backup.MaxObjects)
			cancel()
		case !strings.HasSuffix(o.Key, "/"):
			out = append(out, backup.Object{Key: strings.TrimPrefix(o.Key, s.prefix), Size: o.Size, Modified: o.LastModified})
		}
	}
	if fault != nil {
		return nil, fault
	}
	return out, nil
}

// Delete satisfies backup.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := backup.CheckKey(key); err != nil {
		return err
	}
	if err := s.client.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{}); err != nil {
		return s.fault("remove", key, err)
	}
	return nil
}

// String names the place without its key.
func (s *Store) String() string {
	return fmt.Sprintf("s3://%s/%s at %s", s.bucket, s.prefix, s.endpoint)
}

// fault says what a server's answer means for the operator.
func (s *Store) fault(what, key string, err error) error {
	wrap := func(hint string) error { return fmt.Errorf("%s %q in %s: %s: %w", what, key, s, hint, err) }
	switch resp := minio.ToErrorResponse(err); resp.Code {
	case minio.NoSuchKey:
		return fmt.Errorf("%s %q in %s: %w", what, key, s, fs.ErrNotExist)
	case minio.NoSuchBucket:
		return wrap("there is no such bucket: make it, or name another")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return wrap("the key is wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the process that reaches the bucket")
	case minio.AccessDenied, "AllAccessDisabled", "ExpiredToken", "InvalidToken":
		return wrap("the key may not do that: it needs to list the bucket, and to read, write and delete its objects")
	case "RequestTimeTooSkewed":
		return wrap("the clock of this host is wrong")
	case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage":
		return fmt.Errorf("%s %q in %s: %w: make room or name another place; what was there is untouched: %w", what, key, s, backup.ErrNoSpace, err)
	}
	return fmt.Errorf("%s %q in %s: %w", what, key, s, err)
}
