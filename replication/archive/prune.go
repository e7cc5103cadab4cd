package archive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/backup"
)

// unfinishedFor is how long an object without a manifest is left alone: the manifest may still come.
const unfinishedFor = 24 * time.Hour

var objectName = regexp.MustCompile(`^group-[0-9]+/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{24}$`)

// Prune removes the objects that no manifest names and that are a day old: what a batch leaves that is cut off before its manifest, and
// an erase behind it. Only what key's mesh has sealed goes. It gives how many went.
func Prune(ctx context.Context, s backup.Store, key backup.Key, region skein.Region) (removed int, err error) {
	folder := string(region) + "/archive/"
	objects, err := s.List(ctx, folder)
	if err != nil {
		return 0, err
	}
	named := map[string]bool{}
	for _, o := range objects {
		if object, ok := strings.CutSuffix(o.Key, ".manifest"); ok {
			named[object] = true
		}
	}
	for _, o := range objects {
		if named[o.Key] || !objectName.MatchString(o.Key[len(folder):]) || time.Since(o.Modified) < unfinishedFor {
			continue
		}
		gone, e := pruneOne(ctx, s, key, o)
		err = errors.Join(err, e)
		if gone {
			removed++
		}
	}
	return removed, err
}

// pruneOne looks again before it removes an object: a writer may be storing the same one right now.
func pruneOne(ctx context.Context, s backup.Store, key backup.Key, o backup.Object) (bool, error) {
	ours, err := sealedBy(ctx, s, key, o.Key)
	if err != nil || !ours {
		return false, err
	}
	now, err := s.List(ctx, o.Key)
	if err != nil || len(now) != 1 || !now[0].Modified.Equal(o.Modified) {
		return false, err
	}
	return true, s.Delete(ctx, o.Key)
}

// sealedBy tells whether an object was sealed with a key, by its first bytes.
func sealedBy(ctx context.Context, s backup.Store, key backup.Key, object string) (bool, error) {
	r, err := s.Get(ctx, object)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	open, err := key.Open(r)
	if err == nil {
		_, err = io.ReadFull(open, make([]byte, 1))
	}
	return err == nil, ctx.Err()
}
