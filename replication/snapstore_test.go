package replication

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

func TestPlaceRoundTrip(t *testing.T) {
	for _, want := range []place{{}, {reached: 7}, {reached: 1 << 60, file: incomingAs + "17"}} {
		if got, ok := decodePlace(want.encode()); !ok || got != want {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
	}
	for _, bad := range []string{"", "SKNPLACE1234567", snapshotMagic + "12345678", "SKNPLACE12345678state.db", "SKNPLACE12345678" + incomingAs + "/../state.db"} {
		if got, ok := decodePlace([]byte(bad)); ok {
			t.Errorf("%q: got %+v", bad, got)
		}
	}
}

func FuzzDecodePlace(f *testing.F) {
	f.Add(place{7, incomingAs + "1"}.encode())
	f.Add([]byte(placeMagic))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if p, ok := decodePlace(buf); ok && !bytes.Equal(p.encode(), buf) {
			t.Errorf("%q: got %+v", buf, p)
		}
	})
}

func TestHolds(t *testing.T) {
	now := time.Unix(1000, 0)
	h := &holds{}
	want := func(step string, from uint64) {
		t.Helper()
		if got := h.from(now); got != from {
			t.Errorf("%s: got %d, want %d", step, got, from)
		}
	}
	want("nobody", 0)
	read := h.take("copy", 50)
	h.follow("b1", 40, now)
	want("two", 40)
	h.confirmed("b1", 45, false, now)
	h.confirmed("b1", 44, false, now) // late
	h.confirmed("copy", 90, true, now)
	want("one went on", 45)
	now = now.Add(keepStill + 1)
	want("it stands still", 50)
	read()
	want("the copy was read", 0)
	h.follow("c1", 60, now)
	h.confirmed("c1", 70, true, now)
	want("it has everything", 0)
}

// TestReadersHoldApart reads one snapshot for two followers: what the one gives up is not the other's.
func TestReadersHoldApart(t *testing.T) {
	d, err := openDisk(t.TempDir(), newRaftLog(discardLog()), func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // a test's
	at := mark{index: 7, term: 1}
	d.store.publish(batch{at: at})
	if err := d.snapshotAlone("a1", at); err != nil {
		t.Fatal(err)
	}
	list, err := d.copies.List()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	var readers [2]io.ReadCloser
	for i := range readers {
		if _, readers[i], err = d.copies.Open(list[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []uint64{7, 0} {
		if err := readers[i].Close(); err != nil {
			t.Fatal(err)
		}
		if got := d.copies.holds.from(time.Now()); got != want {
			t.Errorf("after %d of 2 readers the log is held from %d, want %d", i+1, got, want)
		}
	}
}

// TestHeldEntriesStay cuts the log as the library does, at its front and as a whole.
func TestHeldEntriesStay(t *testing.T) {
	d, err := openDisk(t.TempDir(), newRaftLog(discardLog()), func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // a test's
	w := newWatchedLog(d.logs, func(err error) { t.Error(err) })
	from := uint64(0)
	w.keep = func() uint64 { return from }
	for i := range uint64(60) {
		if err := w.StoreLog(&raft.Log{Index: i + 1, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ from, low, high, first uint64 }{
		{0, 1, 9, 10}, {20, 10, 30, 20}, {20, 20, 30, 20}, {50, 20, 30, 31}, {40, 31, 60, 0},
	} {
		from = tt.from
		if err := w.DeleteRange(tt.low, tt.high); err != nil {
			t.Fatal(err)
		}
		if got, err := w.FirstIndex(); err != nil || got != tt.first {
			t.Errorf("%d to %d with %d held: the log begins at %d, %v, want %d", tt.low, tt.high, tt.from, got, err, tt.first)
		}
	}
}

func TestTrailing(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		entries, bytes, least, want uint64
	}{
		{"idle", 0, 0, 5, 5},
		{"little", 455, 455 << 10, 5, 5},
		{"much", 10_000, 10_000 << 10, 4096, 90_000},
		{"large entries", 10_000, 10_000 * 64 << 10, 4096, 4096},
		{"medium entries", 10_000, 10_000 * 16 << 10, 4096, 16384},
	} {
		if got := trailing(tt.entries, tt.bytes, 10*time.Second, tt.least); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestThrottle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &pacedReader{bytes.NewReader(make([]byte, 10<<20)), newThrottle(1<<20, nil)}
		began := time.Now()
		n, err := io.Copy(io.Discard, r)
		if took := time.Since(began); err != nil || n != 10<<20 || took < 9*time.Second || took > 11*time.Second {
			t.Errorf("10 MiB at 1 MiB a second: got %d bytes in %v, %v", n, took, err)
		}
		time.Sleep(time.Minute) // what was not used does not pass at once later
		began = time.Now()
		r.r = bytes.NewReader(make([]byte, 1<<20))
		if _, err := io.Copy(io.Discard, r); err != nil || time.Since(began) < 800*time.Millisecond {
			t.Errorf("1 MiB after a pause: got %v, %v", time.Since(began), err)
		}
		stop := make(chan struct{})
		close(stop)
		w := &pacedWriter{io.Discard, newThrottle(1, stop)}
		if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, errStopping) {
			t.Errorf("after the stop: got %v", err)
		}
	})
}

// readSnapshots counts who reads snapshots.
type readSnapshots struct {
	raft.SnapshotStore
	opened []uint64 // labels; raft opens them one after the other
}

func (s *readSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.SnapshotStore.Open(id)
	if err == nil {
		s.opened = append(s.opened, meta.Index)
	}
	return meta, r, err
}

// TestSlowFollowerGetsOneSnapshot: the leader takes several snapshots, and would cut its log behind each, while one
// travels to a follower that begins with nothing.
func TestSlowFollowerGetsOneSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, "a1", "b1", "c1")
		defer c.stopAll()
		c.tune = func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries, cfg.SnapshotRate = 20, 5, 100<<10 }
		sent := map[skein.NodeID]*readSnapshots{}
		c.prepare = func(g *Group) {
			s := &readSnapshots{SnapshotStore: g.disk.snapshots}
			sent[g.cfg.Node], g.disk.snapshots = s, s
		}
		c.start("a1", "b1", "c1")
		lead := c.leader()
		large := strings.Repeat("long ", 10_000)
		for i := range 60 {
			say := sayCmd(i, 1, 1)
			body := say.Body.(session.Accept)
			body.Reply.Text = large
			say.Body = body
			c.propose(lead, openCmd(i), say)
		}
		c.until("a log that was cut", time.Minute, func() bool {
			first, err := lead.disk.logs.FirstIndex()
			return err == nil && first > 20
		})
		follower := skein.NodeID("b1")
		if lead.cfg.Node == follower {
			follower = "c1"
		}
		c.kill(follower)
		removeFile(t, c.dir, follower, ".")
		c.start(follower)
		n := 0
		c.until("a follower that has everything", 5*time.Minute, func() bool {
			n++
			c.propose(lead, openCmd(1000+n)) // some twenty a second
			time.Sleep(50 * time.Millisecond)
			return c.nodes[follower].Status().Applied+5 >= lead.Status().Applied
		})
		labels := sent[lead.cfg.Node].opened
		list, err := lead.disk.snapshots.List()
		if err != nil || len(labels) == 0 || list[0].Index <= labels[0] {
			t.Fatalf("no snapshot was taken while one travelled: sent %v, %v", labels, err)
		}
		if len(labels) != 1 {
			t.Errorf("snapshots sent: got %v, want one", labels)
		}
		if got := c.fabric.apart.Load(); got != 1 {
			t.Errorf("snapshots on a connection of their own: got %d, want 1", got)
		}
		if left, err := filepath.Glob(filepath.Join(c.dir, "*", incomingAs+"*")); err != nil || len(left) > 0 {
			t.Errorf("copies left behind: %v, %v", left, err)
		}
		if left, err := filepath.Glob(filepath.Join(c.dir, "*", outgoingAs+"*")); err != nil || len(left) > 0 {
			t.Errorf("copies left behind: %v, %v", left, err)
		}
		c.converged()
	})
}

// TestFormerLeaderStopsSending: a transfer under way ends with the leadership, and on the other side gives way to the
// successor's.
func TestFormerLeaderStopsSending(t *testing.T) {
	leads := true
	tr := &transport{rate: 1 << 40, leads: func() bool { return leads }}
	buf := make([]byte, 1<<10)
	out := tr.paced(strings.NewReader(strings.Repeat("x", 4<<10)))
	if n, err := out.Read(buf); n != 1<<10 || err != nil {
		t.Errorf("while it leads: got %d, %v", n, err)
	}
	leads = false
	if _, err := out.Read(buf); !errors.Is(err, errDeposed) {
		t.Errorf("afterwards: got %v, want %v", err, errDeposed)
	}
	old := tr.wanted(3, strings.NewReader("old"))
	if _, err := old.Read(buf[:1]); err != nil {
		t.Errorf("the only one: got %v", err)
	}
	newer := tr.wanted(4, strings.NewReader("new"))
	if _, err := old.Read(buf); !errors.Is(err, errNewer) {
		t.Errorf("the former leader's: got %v, want %v", err, errNewer)
	}
	if _, err := newer.Read(buf); err != nil {
		t.Errorf("the newer one: got %v", err)
	}
}

func TestThrottleGivesWay(t *testing.T) {
	p := newThrottle(64<<20, nil)
	for range 20 {
		p.adapt(50 * time.Millisecond)
	}
	if got, want := p.rate, 8.0*(1<<20); got != want {
		t.Errorf("on a busy machine: got %.0f, want %.0f", got, want)
	}
	for range 40 {
		p.adapt(time.Millisecond)
	}
	if got, want := p.rate, 48.0*(1<<20); got != want {
		t.Errorf("some time later: got %.0f, want %.0f", got, want)
	}
	for range 40 {
		p.adapt(0)
	}
	if got, want := p.rate, 64.0*(1<<20); got != want {
		t.Errorf("on an idle machine: got %.0f, want %.0f", got, want)
	}
}

func TestSyncedWriterReportsTheDisk(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "large"))
	if err != nil {
		t.Fatal(err)
	}
	w := &syncedWriter{file: f}
	if n, err := w.Write(make([]byte, syncedPiece)); n != syncedPiece || err != nil || w.waiting != 0 {
		t.Errorf("a piece: got %d, %v, %d bytes wait", n, err, w.waiting)
	}
	if _, err := w.Write([]byte("x")); err != nil || w.waiting != 1 {
		t.Errorf("less: got %v, %d bytes wait", err, w.waiting)
	}
	f.Close()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a closed file takes bytes")
	}
}
