package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/replication/backup/s3"
)

// Depot is where backups are kept. Close frees its connections.
type Depot struct {
	backup.Store
	Close func() error
}

// CheckDepot reports what is wrong with the address of a depot, without a look at the place.
func CheckDepot(at string) error {
	u, err := url.Parse(at)
	if err != nil {
		return fmt.Errorf("%.100q is no address: want file:///DIRECTORY or s3://BUCKET/PREFIX", at)
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && filepath.IsAbs(u.Path) && u.RawQuery == "":
		return nil
	case u.Scheme == "s3" && u.Host != "" && u.User == nil:
		return nil
	case u.User != nil:
		return errors.New("an address holds no key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
	}
	return fmt.Errorf("%.100q: want file:///DIRECTORY or s3://BUCKET/PREFIX", at)
}

// OpenDepot opens a directory (file:///DIRECTORY), or a place in S3-compatible storage (s3://BUCKET/PREFIX, with
// ?endpoint=URL&region=NAME for another than Amazon's), whose key is in the environment of this process.
func OpenDepot(at string) (*Depot, error) {
	if err := CheckDepot(at); err != nil {
		return nil, err
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		d, err := backup.OpenDir(filepath.Clean(u.Path))
		if err != nil {
			return nil, err
		}
		return &Depot{Store: d, Close: func() error { return nil }}, nil
	}
	s, err := s3.Open(u, s3.Config{Env: os.Getenv})
	if err != nil {
		return nil, err
	}
	return &Depot{Store: s, Close: s.Close}, nil
}

// findDepot is OpenDepot for who reads: a directory that is not there is not made, and not taken for an empty one.
func findDepot(at string) (*Depot, error) {
	if err := CheckDepot(at); err != nil {
		return nil, err
	}
	if u, err := url.Parse(at); err == nil && u.Scheme == "file" {
		if _, err := os.Stat(filepath.Clean(u.Path)); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("directory %s does not exist: name the one that was written to, or mount it", filepath.Clean(u.Path))
		}
	}
	return OpenDepot(at)
}
