package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Store keeps objects by key. A key is names joined by slashes; a name is letters, digits, '.', '_', '-' and '~' and
// does not begin with a dot.
type Store interface {
	// Put stores the size bytes that r gives, at once when all of them have come: nobody sees less. What is there
	// under the key is replaced.
	Put(ctx context.Context, key string, r io.Reader, size int64) error
	// Get reads an object; the error is fs.ErrNotExist when there is none.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// List gives the objects whose keys begin with prefix, in the order of their keys.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete removes an object. That there is none is no error.
	Delete(ctx context.Context, key string) error
}

// Object is one entry of a list.
type Object struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// MaxObjects bounds a list; a store with more is refused.
const MaxObjects = 200_000

// ErrNoSpace means that the place is full; the text around it names the place.
var ErrNoSpace = errors.New("no space is left")

// CheckKey reports what is wrong with a key.
func CheckKey(key string) error {
	if key == "" || len(key) > 512 {
		return fmt.Errorf("key %.80q: want 1 to 512 characters", key)
	}
	for name := range strings.SplitSeq(key, "/") {
		ok := name != "" && name[0] != '.'
		for _, c := range []byte(name) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-~", c) >= 0)
		}
		if !ok {
			return fmt.Errorf("key %.80q: %.80q is no name", key, name)
		}
	}
	return nil
}

// ReadObject reads an object of at most limit bytes.
func ReadObject(ctx context.Context, s Store, key string, limit int64) ([]byte, error) {
	r, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", key, ErrCorrupt, limit)
	}
	return data, nil
}
