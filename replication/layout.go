package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/skein-mesh/skein"
)

// The buckets of the state file. Values carry a CRC, see seal; what has no content is its key.
var (
	sessionsBucket = []byte("sessions") // id -> wire.SessionHeader
	eventsBucket   = []byte("events")   // position -> wire.Event
	indexBucket    = []byte("index")    // id, 0, first sequence number -> where older events are, see encodeEvents
	marksBucket    = []byte("marks")    // id, 0, client -> wire.Mark, of a session that has many
	subjectsBucket = []byte("subjects") // subject, 0, class of its span, milliseconds of opening, id -> nothing, see spans.go
	goneBucket     = []byte("gone")     // id of a session whose text is deleted -> wire.SessionHeader
	agesBucket     = []byte("ages")     // what a session waits for, day of its last event, id -> nothing
	openBucket     = []byte("open")     // id of a session with an open turn -> nothing
	lettersBucket  = []byte("letters")  // id of a session with dead letters -> their number, one byte
	metaBucket     = []byte("meta")

	markKey   = []byte("mark")
	baseKey   = []byte("base")
	formatKey = []byte("format")
)

// stateFormat is the version of this layout. Version 1 had no number: it kept whole sessions, and events by session.
const stateFormat = 4

// eventKey is a position, big endian: positions rise, so that a page of events is written once.
func eventKey(position uint64) []byte { return binary.BigEndian.AppendUint64(nil, position) }

// prefixOf begins the keys of a session in a bucket that has several for it: no id holds a zero byte.
func prefixOf(id skein.SessionID) []byte {
	prefix := make([]byte, 0, len(id)+65)
	return append(append(prefix, id...), 0)
}

func indexKey(id skein.SessionID, first skein.Seq) []byte {
	return binary.BigEndian.AppendUint64(prefixOf(id), uint64(first))
}

func apartKey(id skein.SessionID, client skein.ClientID) []byte {
	return append(prefixOf(id), client...)
}

// subjectPrefix begins the keys of a subject's sessions. A subject may hold any byte: 0 is stored as 1 1 and 1 as 1 2, so that the
// closing zero byte is the only one and no subject's keys begin like another's.
func subjectPrefix(subject skein.Subject) []byte {
	key := make([]byte, 0, len(subject)+80)
	for i := range len(subject) {
		switch c := subject[i]; c {
		case 0, 1:
			key = append(key, 1, c+1)
		default:
			key = append(key, c)
		}
	}
	return append(key, 0)
}

// subjectKey orders a subject's sessions of one class by when they were opened; a time before 1970 counts as 1970.
func subjectKey(subject skein.Subject, class byte, openedMs int64, id skein.SessionID) []byte {
	key := binary.BigEndian.AppendUint64(append(subjectPrefix(subject), class), uint64(max(openedMs, 0)))
	return append(key, id...)
}

// makeLayout makes the buckets of a fresh file.
func makeLayout(tx *bolt.Tx) error {
	for _, name := range [][]byte{sessionsBucket, eventsBucket, indexBucket, marksBucket, subjectsBucket, goneBucket, agesBucket, openBucket, lettersBucket, metaBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put(formatKey, seal(formatKey, binary.BigEndian.AppendUint32(nil, stateFormat)))
}

// openState opens a state file, or makes it. One of another format is refused and not touched.
func openState(path string) (*bolt.DB, error) {
	fresh, err := checkFormat(path)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := makeState(path); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	return openDB(path, false)
}

// makeState makes an empty state file under another name first: a power loss in the middle would leave one that
// cannot be told from a damaged one. The caller syncs the directory.
func makeState(path string) error {
	half := path + ".new"
	if err := os.Remove(half); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openDB(half, false)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(makeLayout), db.Close()); err != nil {
		return err
	}
	return os.Rename(half, path)
}

// checkFormat reads which format a state file has, without a write; fresh says that there is none yet, or one whose making a
// crash has ended.
func checkFormat(path string) (fresh bool, err error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("open %s: %w", path, err)
	case info.Size() == 0:
		return true, nil
	}
	db, err := openDB(path, true)
	if err != nil {
		return false, err
	}
	found := uint32(0)
	err = guarded(func() error {
		return db.View(func(tx *bolt.Tx) error {
			if first, _ := tx.Cursor().First(); first == nil {
				fresh = true
				return nil
			}
			found, err = readFormat(tx)
			return err
		})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	if !fresh && found != stateFormat {
		return false, fmt.Errorf("%s has format %d, this build reads format %d; nothing was changed. Go on with the build that wrote it. "+
			"To begin anew without its sessions, move the directory elsewhere on every node of the region", path, found, stateFormat)
	}
	return fresh, nil
}

// readFormat gives 1 for a file without a number.
func readFormat(tx *bolt.Tx) (uint32, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return 0, fmt.Errorf("%w: it has no %s bucket: it is not a state file", errCorrupt, metaBucket)
	}
	v := meta.Get(formatKey)
	if v == nil {
		return 1, nil
	}
	content, err := unseal(formatKey, v)
	if err != nil {
		return 0, err
	}
	if len(content) != 4 {
		return 0, fmt.Errorf("%w: the format has %d bytes", errCorrupt, len(content))
	}
	return binary.BigEndian.Uint32(content), nil
}
