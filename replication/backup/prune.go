package backup

import (
	"context"
	"errors"
	"time"

	"github.com/skein-mesh/skein"
)

// unfinishedFor is how long the parts of a backup without a manifest are left alone: it may still be written.
const unfinishedFor = 24 * time.Hour

// Prune removes the backups of a region that are older than the newest keep, and what unfinished ones have left for a day.
// Only backups of key's mesh count, and only they are removed. It says which went.
func Prune(ctx context.Context, s Store, key Key, region skein.Region, keep int) (removed []string, err error) {
	if keep < 1 {
		return nil, errors.New("keep fewer than one backup: want 1 or more")
	}
	found, err := scan(ctx, s, region)
	if err != nil {
		return nil, err
	}
	kept := 0
	for _, f := range found {
		if !f.complete {
			if kept > 0 && time.Since(f.newest) > unfinishedFor {
				err = errors.Join(err, deleteAll(ctx, s, f.keys))
			}
			continue
		}
		if _, foreign := Load(ctx, s, key, region, f.name); foreign != nil {
			continue
		}
		if kept++; kept <= keep {
			continue
		}
		// The manifest first: a crash leaves an unfinished backup, not one that is listed and lacks a part.
		if e := s.Delete(ctx, manifestKey(region, f.name)); e != nil {
			err = errors.Join(err, e)
			continue
		}
		err = errors.Join(err, deleteAll(ctx, s, f.keys))
		removed = append(removed, f.name)
	}
	return removed, err
}

func deleteAll(ctx context.Context, s Store, keys []string) (err error) {
	for _, key := range keys {
		err = errors.Join(err, s.Delete(ctx, key))
	}
	return err
}
