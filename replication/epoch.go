package replication

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A group has a cluster epoch: firstEpoch when it was formed, and a higher one each time that an operator makes it go on
// without the majority that it had, by a recovery or from a backup. Replicas of different epochs do not speak to each
// other: the old majority may come back, and must not outvote what has gone on without it.
const (
	firstEpoch = 1
	epochFile  = "cluster-epoch"
)

// NextEpoch gives an epoch above old. It is the time in milliseconds since 1970, so that two recoveries by mistake, of two
// replicas that each had the same epoch, do not end up with the same one: the higher wins, the other sets itself aside.
func NextEpoch(old uint64, now time.Time) uint64 { return max(old+1, uint64(max(now.UnixMilli(), 0))) }

// epochs is what a replica knows of its group's epoch.
type epochs struct {
	dir string

	mu    sync.Mutex // guards the fields below
	at    uint64     // that the state here belongs to; 0: there is no state
	least uint64     // the highest that was heard of: nothing below it is taken in
}

// readEpochs reads what dir holds. A replica of a build without epochs belongs to the first.
func readEpochs(dir string, hasState bool) (*epochs, error) {
	e := &epochs{dir: dir}
	path := filepath.Join(dir, epochFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if hasState {
			e.at, e.least = firstEpoch, firstEpoch
		}
		return e, nil
	}
	if err == nil {
		e.at, e.least, err = decodeEpochs(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

const epochForm = "skein cluster epoch 1\nstate %d\nheard %d\n"

func encodeEpochs(at, least uint64) []byte {
	text := fmt.Appendf(nil, epochForm, at, least)
	return fmt.Appendf(text, "crc32c %08x\n", crc32.Checksum(text, castagnoli))
}

func decodeEpochs(data []byte) (at, least uint64, err error) {
	_, err = fmt.Sscanf(string(data), epochForm, &at, &least)
	if err != nil || string(encodeEpochs(at, least)) != string(data) || at > least {
		return 0, 0, fmt.Errorf("%w: it is not what was written there", errCorrupt)
	}
	return at, least, nil
}

// set makes both numbers durable.
func (e *epochs) set(at, least uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.setLocked(at, least)
}

func (e *epochs) setLocked(at, least uint64) error {
	if err := writeDurably(filepath.Join(e.dir, epochFile), encodeEpochs(at, least)); err != nil {
		return fmt.Errorf("cluster epoch: %w", err)
	}
	e.at, e.least = at, least
	return nil
}

// writeDurably replaces a small file.
func writeDurably(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return replaceFile(path+".new", path)
}

func (e *epochs) get() (at, least uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at, e.least
}

// forget notes that the state was set aside; nothing of an older epoch is taken in any more.
func (e *epochs) forget() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.setLocked(0, e.least)
}

// readEpochs reads the directory's epochs, and ends what a crash has left half done.
func (d *disk) readEpochs() (*epochs, error) {
	hasState, err := raft.HasExistingState(d.logs, d.logs, d.snapshots)
	if err != nil {
		return nil, err
	}
	e, err := readEpochs(d.dir, hasState)
	if err != nil {
		return nil, err
	}
	at, _ := e.get()
	if at == 0 && hasState {
		return nil, fmt.Errorf("%s: %w: there is state, of no cluster epoch; move the directory elsewhere, then the node copies the others' state",
			filepath.Join(d.dir, epochFile), errCorrupt)
	}
	if at != 0 && !hasState && e.least > at {
		return e, e.forget()
	}
	return e, nil
}

// stamp is what goes into the entries of this replica while it leads.
func (e *epochs) stamp() uint64 {
	if e == nil { // a state machine by itself
		return 0
	}
	at, _ := e.get()
	return at
}

// begin is firstEpoch for a group that is formed now, if nothing later was heard of.
func (e *epochs) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at != 0 {
		return nil
	}
	return e.setLocked(max(firstEpoch, e.least), max(firstEpoch, e.least))
}

// greeting is how a node answers another one's hello.
type greeting byte

const (
	agreed    greeting = iota + 1
	outdated           // whoever asks is of an older epoch
	behind             // whoever answers is of an older epoch
	stateless          // whoever asks has no state, which nothing may come from
)

// hello is what begins a stream between replicas: the epoch of the state here, 0 for none, and the highest heard of.
type hello struct{ at, least uint64 }

func (e *epochs) hello() hello {
	at, least := e.get()
	return hello{at, least}
}

// meet judges a hello, and takes in what can be learned from it. A replica without state joins the epoch of whoever
// feeds it; that is durable before anything else of the stream is read.
func (e *epochs) meet(h hello, feeds bool) (greeting, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := max(h.at, h.least)
	switch {
	case feeds && h.at == 0:
		return stateless, nil
	case h.at != 0 && h.at < e.least:
		return outdated, nil
	case e.at != 0 && e.at < heard:
		e.least = heard // durable once this replica is set aside
		return behind, nil
	}
	if feeds && e.at == 0 {
		return agreed, e.setLocked(h.at, heard)
	}
	e.least = max(e.least, heard)
	return agreed, nil
}

// hear takes in the answer to a hello, and reports whether the state here is outdated.
func (e *epochs) hear(h hello) (old bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.least = max(e.least, h.at, h.least)
	return e.at != 0 && e.at < e.least
}
