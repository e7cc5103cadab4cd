package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testKey(t testing.TB, name string) backup.Key {
	t.Helper()
	k, err := backup.NewKey(name, []byte(strings.Repeat(name[:1], 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var day = Place{Region: "eu", Group: 1, Day: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}

// closed is a session with n turns.
func closed(id skein.SessionID, subject skein.Subject, n int) Session {
	events := []session.Event{{Session: id, Seq: 1, Kind: session.Opened, At: day.Day, Subject: subject, Assistant: "shop", Home: "eu"}}
	for i := range n {
		turn := skein.TurnID{Client: "web", Counter: uint64(i + 1)}
		events = append(events,
			session.Event{Session: id, Seq: skein.Seq(2*i + 2), Kind: session.Accepted, At: day.Day, Turn: turn, Attempt: 1, Text: fmt.Sprintf("question %d of %s\nwith a second line", i, subject)},
			session.Event{Session: id, Seq: skein.Seq(2*i + 3), Kind: session.Done, At: day.Day, Turn: turn, Attempt: 1, Text: fmt.Sprintf("answer %d", i), Source: "faq:x", Memory: []byte("secret")})
	}
	last := skein.Seq(2*n + 2)
	events = append(events, session.Event{Session: id, Seq: last, Kind: session.Closed, At: day.Day, Text: "idle"})
	return Session{ID: id, Subject: subject, Seq: last, Events: func(_ context.Context, after skein.Seq) ([]session.Event, error) {
		for i := range events {
			if events[i].Seq > after {
				return events[i:min(i+3, len(events))], nil
			}
		}
		return nil, nil
	}}
}

func find(t *testing.T, s backup.Store, k backup.Key, want Wanted) (int, []Line) {
	t.Helper()
	var out bytes.Buffer
	n, err := Find(t.Context(), s, k, "eu", want, &out)
	if err != nil {
		t.Fatal(err)
	}
	var lines []Line
	for text := range strings.Lines(out.String()) {
		var l Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return n, lines
}

func openStore(t *testing.T) (*backup.Dir, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "store")
	d, err := backup.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return d, root
}

func TestArchive(t *testing.T) {
	d, root := openStore(t)
	k := testKey(t, "ours.example")
	first := []Session{closed("eu~a", "ann", 2), closed("eu~b", "bob", 1)}
	second := []Session{closed("eu~c", "ann", 0)}
	for _, batch := range [][]Session{first, second, first} { // the last: a crash before the sessions were told
		if w, err := Write(t.Context(), d, k, day, batch); err != nil || w.Seen != len(batch) || len(w.Unread) > 0 {
			t.Fatal(w, err)
		}
	}
	if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 4 {
		t.Errorf("%d objects, %v; want two batches", len(objects), err)
	}
	if n, lines := find(t, d, k, Wanted{Session: "eu~a"}); n != 1 || len(lines) != 6 || lines[0].Subject != "ann" || lines[2].Text != "answer 0" || lines[2].Turn != "web:1" {
		t.Errorf("a session: %d, %+v", n, lines)
	}
	if n, lines := find(t, d, k, Wanted{Subject: "ann"}); n != 2 || len(lines) != 8 {
		t.Errorf("a subject: %d with %d lines, want 2 with 8", n, len(lines))
	}
	if n, lines := find(t, d, k, Wanted{Session: "eu~z"}); n != 0 || len(lines) != 0 {
		t.Errorf("one that was never archived: %d, %v", n, lines)
	}
	// Nothing in the store tells who it is about, or what was said.
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, word := range []string{"ann", "eu~a", "question", "secret"} {
			if bytes.Contains(data, []byte(`"`+word)) || bytes.Contains(data, []byte("question")) {
				t.Errorf("%s tells %q", path, word)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	if n, err := Erase(t.Context(), d, k, "eu", Wanted{Subject: "ann"}); err != nil || n != 2 {
		t.Errorf("erase: %d, %v; want 2", n, err)
	}
	if n, lines := find(t, d, k, Wanted{Subject: "ann"}); n != 0 || len(lines) != 0 {
		t.Errorf("after it: %d, %v", n, lines)
	}
	if n, lines := find(t, d, k, Wanted{Subject: "bob"}); n != 1 || len(lines) != 4 {
		t.Errorf("who else was in the batch: %d with %d lines, want 1 with 4", n, len(lines))
	}
	if n, err := Erase(t.Context(), d, k, "eu", Wanted{Subject: "ann"}); err != nil || n != 0 {
		t.Errorf("erase again: %d, %v", n, err)
	}
}

// A session that was reopened by a later state of the store is given as it was archived last.
func TestNewestWins(t *testing.T) {
	d, _ := openStore(t)
	k := testKey(t, "ours.example")
	for _, n := range []int{3, 1} {
		if _, err := Write(t.Context(), d, k, day, []Session{closed("eu~a", "ann", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if n, lines := find(t, d, k, Wanted{Session: "eu~a"}); n != 1 || len(lines) != 8 {
		t.Errorf("got %d with %d lines, want 1 with 8", n, len(lines))
	}
}

// slowStore lets another writer come in between before it stores an object whose key ends in before.
type slowStore struct {
	backup.Store
	before string
	first  func()
}

func (s *slowStore) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if strings.HasSuffix(key, s.before) && s.first != nil {
		first := s.first
		s.first = nil
		first()
	}
	return s.Store.Put(ctx, key, r, size)
}

// A leader that was replaced goes on writing its batch while its successor writes the same: whoever is last, both can be read,
// and a writer that dies within it spoils nothing.
func TestTwoWritersOfOneBatch(t *testing.T) {
	d, _ := openStore(t)
	k := testKey(t, "ours.example")
	write := func(s backup.Store) error {
		_, err := Write(t.Context(), s, k, day, []Session{closed("eu~a", "ann", 2)})
		return err
	}
	slow := &slowStore{Store: d, before: ".manifest", first: func() {
		if err := write(d); err != nil {
			t.Error(err)
		}
	}}
	if err := write(slow); err != nil {
		t.Fatal(err)
	}
	if n, lines := find(t, d, k, Wanted{Session: "eu~a"}); n != 1 || len(lines) != 6 {
		t.Errorf("two writers: %d with %d lines, want 1 with 6", n, len(lines))
	}
	ctx, crash := context.WithCancel(t.Context())
	if _, err := Write(ctx, &slowStore{Store: d, before: ".manifest", first: crash}, k, day, []Session{closed("eu~a", "ann", 2)}); err == nil {
		t.Fatal("the crash did not come")
	}
	if n, lines := find(t, d, k, Wanted{Session: "eu~a"}); n != 1 || len(lines) != 6 {
		t.Errorf("after a crash: %d with %d lines, want 1 with 6", n, len(lines))
	}
	if n, err := Erase(t.Context(), d, k, "eu", Wanted{Session: "eu~a"}); err != nil || n == 0 {
		t.Errorf("erase: %d, %v", n, err)
	}
	if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 0 {
		t.Errorf("%v is left, %v", objects, err)
	}
}

// A replica that is behind must not pass for the whole session: its text is deleted once the archive has it.
func TestASessionThatIsNotWhole(t *testing.T) {
	d, _ := openStore(t)
	short := closed("eu~a", "ann", 2)
	short.Seq++
	if w, err := Write(t.Context(), d, testKey(t, "ours.example"), day, []Session{short}); err != nil || w.Unread["eu~a"] == nil {
		t.Errorf("a session without its last event: %+v, %v", w, err)
	}
	if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 0 {
		t.Errorf("%v, %v is there", objects, err)
	}
}

func TestRefusals(t *testing.T) {
	d, root := openStore(t)
	k := testKey(t, "ours.example")
	if _, err := Write(t.Context(), d, k, day, nil); err == nil {
		t.Error("an empty batch is stored")
	}
	boom := errors.New("boom")
	bad := closed("eu~x", "ann", 1)
	bad.Events = func(context.Context, skein.Seq) ([]session.Event, error) { return nil, boom }
	if w, err := Write(t.Context(), d, k, day, []Session{bad}); err != nil || !errors.Is(w.Unread["eu~x"], boom) {
		t.Errorf("a session that cannot be read: %+v, %v", w, err)
	}
	if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 0 {
		t.Errorf("%v, %v is there", objects, err)
	}
	if _, err := Write(t.Context(), d, k, day, []Session{closed("eu~a", "ann", 2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), d, testKey(t, "foreign.example"), "eu", Wanted{Session: "eu~a"}, &bytes.Buffer{}); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("another mesh: %v", err)
	}
	objects, err := d.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		path := filepath.Join(root, filepath.FromSlash(o.Key))
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(whole)
		changed[len(changed)/2] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Find(t.Context(), d, k, "eu", Wanted{Session: "eu~a"}, &bytes.Buffer{}); !errors.Is(err, backup.ErrCorrupt) {
			t.Errorf("%s with a flipped bit: %v", o.Key, err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	k := testKey(f, "ours.example")
	good, err := (&manifest{Format: 1, MeshID: k.ID(), Object: "eu/x", Kept: []entry{{"a", "b", 3}}}).encode(k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":2}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		line, _, _ := bytes.Cut(data, []byte("\n"))
		signed := append(append(bytes.Clone(line), '\n'), k.MAC(manifestLabel, line)+"\n"...)
		for _, d := range [][]byte{data, signed} {
			if m, err := decodeManifest(d, k, "eu/x.manifest"); err == nil && (m.Object != "eu/x" || m.Stored < 0 || len(m.Kept) > maxEntries) {
				t.Errorf("taken: %+v", m)
			}
		}
	})
}

func FuzzLines(f *testing.F) {
	k := testKey(f, "ours.example")
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := k.Seal(bytes.NewReader(data)) // what is sealed may be no gzip
		if err != nil {
			t.Fatal(err)
		}
		var sealed bytes.Buffer
		if _, err := sealed.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		_ = eachLine(sealed.Bytes(), k, func(line []byte) error { _, err := sessionOf(line); return err })
		_ = eachLine(data, k, func([]byte) error { return nil })
	})
}
