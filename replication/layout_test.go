package replication

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// randomCommand mostly makes sense for the session as it stands.
func randomCommand(r *rapid.T, st *session.State, now int) session.Command {
	n := rapid.IntRange(1, 3).Draw(r, "session")
	cmd := session.Command{Session: sid(n), At: time.UnixMilli(int64(1_000_000 + 1000*now))}
	if st == nil {
		cmd.Body = session.Open{Subject: "ada", Assistant: "shop", Home: "eu"}
		return cmd
	}
	cmd.Session, cmd.Expect = st.ID, st.Seq
	text := rapid.SampledFrom([]string{"", "x", "a longer text"}).Draw(r, "text")
	runner := skein.Runner{Node: rapid.SampledFrom([]skein.NodeID{"a1", "b1"}).Draw(r, "runner"), Incarnation: 7}
	open, ok := st.OpenTurn()
	if !ok {
		client := skein.ClientID(fmt.Sprintf("key.%d", rapid.IntRange(0, 25).Draw(r, "client")))
		if rapid.IntRange(0, 30).Draw(r, "end") == 0 {
			cmd.Body = rapid.SampledFrom([]session.Body{session.Close{Reason: text}, session.Archive{}, session.Purge{}, session.Erase{}}).Draw(r, "how")
			return cmd
		}
		a := session.Accept{Turn: skein.TurnID{Client: client, Counter: uint64(now)}, Subject: "ada", Text: text, Runner: runner}
		if rapid.Bool().Draw(r, "quick") {
			a.Reply = &session.Reply{Text: text, Memory: []byte(text), Source: "faq:x"}
		}
		cmd.Body = a
		if n := len(st.Turns); n > 0 && st.Turns[n-1].Letter() && rapid.Bool().Draw(r, "operator") {
			run := session.Run{Turn: st.Turns[n-1].ID, Attempt: st.Turns[n-1].Attempt}
			cmd.Body = rapid.SampledFrom([]session.Body{session.Retry{Run: run}, session.Drop{Run: run}}).Draw(r, "letter")
		}
		return cmd
	}
	run := session.Run{Turn: open.ID, Attempt: open.Attempt}
	call := session.Call{ID: rapid.SampledFrom([]string{"c1", "c2"}).Draw(r, "call"), Tool: "t", Args: text, Result: text}
	cmd.Body = rapid.SampledFrom([]session.Body{
		session.Progress{Run: run, Offset: len(open.Reply), Text: text, Mode: "prefill"},
		session.Intend{Run: run, Call: call}, session.Outcome{Run: run, Call: call},
		session.Start{Turn: open.ID, Attempt: open.Attempt + 1, Runner: runner, Place: skein.Place{Node: "b1"}},
		session.Fail{Run: run, Reason: text, Final: text == "x"}, session.Renew{Run: run},
		session.Complete{Run: run, Reply: session.Reply{Text: open.Reply + text, Memory: []byte(text), Source: "model:m"}},
		session.Complete{Run: run, Reply: session.Reply{Text: open.Reply + text}},
	}).Draw(r, "body")
	return cmd
}

// normal is a state as it comes out of protobuf, where no bytes are nil.
func normal(st *session.State) *session.State {
	if st == nil {
		return nil
	}
	return stateFromWire(stateToWire(st))
}

// dump gives everything that a file holds.
func dump(t *rapid.T, s *store) map[string]string {
	out := map[string]string{}
	err := s.view(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				out[fmt.Sprintf("%s %q", name, k)] = string(v)
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is read back from the file is what was in memory, whenever it was flushed and restarted; two replicas that flushed at
// different times hold the same records.
func TestWhatIsReadBackIsWhatWas(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		fatal := func(err error) { t.Error(err) }
		open := func(dir string) *store {
			s, err := openStore(dir, fatal)
			if err != nil {
				r.Fatal(err)
			}
			return s
		}
		a, b := open(dir), open(t.TempDir())
		defer func() { a.close(); b.close() }()
		flush := func(s *store) {
			if err := s.flush(); err != nil {
				r.Fatal(err)
			}
		}
		events := map[skein.SessionID][]session.Event{}
		for i := range rapid.IntRange(1, 150).Draw(r, "commands") {
			st, err := a.get(sid(rapid.IntRange(1, 3).Draw(r, "look at")))
			if err != nil {
				r.Fatal(err)
			}
			cmd := randomCommand(r, st, i+1)
			was, err := a.get(cmd.Session)
			if err != nil {
				r.Fatal(err)
			}
			kept, _ := session.Apply(was, cmd, session.Now{Clock: a.mark().clock})
			for _, ev := range kept {
				if ev.Kind.Kept() {
					events[ev.Session] = append(events[ev.Session], ev)
				}
			}
			log := entryOf(t, uint64(i+1), cmd)
			machineOn(t, a).Apply(log)
			machineOn(t, b).Apply(log)
			switch rapid.IntRange(0, 8).Draw(r, "disk") {
			case 0, 1:
				flush(a)
				a.clean.clear()
			case 2:
				flush(a)
				a.known.clear()
			case 3:
				flush(a)
				if err := a.close(); err != nil {
					r.Fatal(err)
				}
				a = open(dir)
			case 4:
				flush(b)
			}
		}
		flush(a)
		flush(b)
		a.clean.clear()
		for n := 1; n <= 3; n++ {
			got, err := a.get(sid(n))
			if err != nil {
				r.Fatal(err)
			}
			want, _ := b.get(sid(n))
			if !reflect.DeepEqual(normal(got), normal(want)) {
				r.Fatalf("session %d:\ngot  %+v\nwant %+v", n, got, want)
			}
			var read []session.Event
			for after := skein.Seq(0); ; after = read[len(read)-1].Seq {
				page, err := a.history(sid(n), after, 7)
				if err != nil {
					r.Fatal(err)
				}
				if read = append(read, page...); len(page) == 0 {
					break
				}
			}
			if got != nil && got.Phase.Gone() {
				events[sid(n)] = nil
			}
			if got, want := seqs(read), seqs(events[sid(n)]); got != want {
				r.Fatalf("history of %d: got %s, want %s", n, got, want)
			}
		}
		if got, want := dump(r, a), dump(r, b); !reflect.DeepEqual(got, want) {
			r.Fatalf("files differ:\ngot  %q\nwant %q", got, want)
		}
	})
}

func seqs(events []session.Event) string {
	var out []string
	for _, ev := range events {
		out = append(out, fmt.Sprintf("%d %s %d %q", ev.Seq, ev.Kind, toMillis(ev.At), ev.Text))
	}
	return strings.Join(out, ", ")
}

// A session with many clients has their marks in records of their own; the one that gives way loses its record.
func TestMarksApart(t *testing.T) {
	s := memoryStore(t)
	m := machineOn(t, s)
	m.Apply(entryOf(t, 1, openCmd(1)))
	say := func(index uint64, client string) {
		cmd := sayCmd(1, 1, skein.Seq(2*index-3))
		a := cmd.Body.(session.Accept)
		a.Turn.Client = skein.ClientID(client)
		cmd.Body = a
		if res := m.Apply(entryOf(t, index, cmd)).([]session.Result); res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
	}
	count := func() (n int) {
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		s.clean.clear()
		err := s.view(func(tx *bolt.Tx) error { n = tx.Bucket(marksBucket).Stats().KeyN; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range session.MaxClients + 3 {
		say(uint64(i+2), fmt.Sprintf("key.%04d", i))
		if got := count(); i < inlineMarks && got != 0 || i >= inlineMarks && got != min(i+1, session.MaxClients) {
			t.Fatalf("after %d clients: %d records", i+1, got)
		}
	}
	st, err := s.get(sid(1))
	if err != nil || len(st.Marks) != session.MaxClients || st.Marks[0].Client != "key.0003" {
		t.Fatalf("marks: got %d, first %+v, %v, want the oldest gone", len(st.Marks), st.Marks[0], err)
	}
	err = s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(marksBucket).Delete(apartKey(sid(1), "key.0100")) })
	if err != nil {
		t.Fatal(err)
	}
	s.clean.clear()
	if _, err := s.get(sid(1)); !errors.Is(err, errCorrupt) || !contains(err.Error(), string(sid(1))) {
		t.Errorf("a lost record: got %v, want an error that names the session", err)
	}
}

func TestSubjectKeysDoNotMix(t *testing.T) {
	subjects := []skein.Subject{"a", "a\x00", "a\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00\x00eu~x", "a\x01", "a\x01\x01", "a\x02", "ab", "\x00"}
	for _, one := range subjects {
		for _, other := range subjects {
			for _, ms := range []int64{-1, 0, 1 << 40, 1<<63 - 1} {
				key := subjectKey(other, ms, "eu~x")
				if got, want := bytes.HasPrefix(key, subjectPrefix(one)), one == other; got != want {
					t.Errorf("key of %q at %d begins like those of %q: got %v", other, ms, one, got)
				}
			}
		}
	}
}

func TestStateOfAnotherFormatIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*bolt.Tx) error{
		"format 1": func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Delete(formatKey) },
		"format 9": func(tx *bolt.Tx) error {
			return tx.Bucket(metaBucket).Put(formatKey, seal(formatKey, []byte{0, 0, 0, 9}))
		},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, stateFile)
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true}) // as format 1 was kept
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(makeLayout), db.Update(spoil), db.Close()); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = openDisk(dir, newRaftLog(discardLog()), nil)
		if err == nil || !contains(err.Error(), path) || !contains(err.Error(), name) {
			t.Errorf("%s: got %v, want it refused by name", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}

// A crash may end the making of the file at any point.
func TestHalfMadeStateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"empty", "without buckets"} {
		if what == "without buckets" {
			db, err := openDB(path, false)
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
		}
		s, err := openStore(dir, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		s.close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A flipped bit in any record ends in an error that names it, at the start or when it is read.
func TestFlippedBitInEachBucket(t *testing.T) {
	fill := func(s *store) {
		logs := []*raft.Log{entryOf(t, 1, openCmd(1))}
		for i := range uint64(40) { // older events in the index
			cmd := sayCmd(1, 1, skein.Seq(1+2*i))
			a := cmd.Body.(session.Accept)
			a.Turn.Client = skein.ClientID(fmt.Sprintf("key.%d", i)) // marks apart
			cmd.Body = a
			logs = append(logs, entryOf(t, i+2, cmd))
		}
		machineOn(t, s).ApplyBatch(logs)
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(dir string) error {
		s, err := openStore(dir, nil)
		if err != nil {
			return err
		}
		defer s.close()
		_, err = s.get(sid(1))
		_, err2 := s.history(sid(1), 0, maxHistory)
		return errors.Join(err, err2)
	}
	for _, tt := range []struct {
		bucket []byte
		names  string
	}{{sessionsBucket, "eu~s1"}, {eventsBucket, "position"}, {indexBucket, "eu~s1"}, {marksBucket, "eu~s1"}, {metaBucket, ""}} {
		s := memoryStore(t)
		fill(s)
		flipped := 0
		err := s.db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(tt.bucket)
			k, v := b.Cursor().Last()
			bad := bytes.Clone(v)
			bad[len(bad)-1] ^= 1
			flipped++
			return b.Put(bytes.Clone(k), bad)
		})
		if err != nil || flipped == 0 {
			t.Fatal(err)
		}
		s.close()
		if err := read(s.dir); !errors.Is(err, errCorrupt) || !contains(err.Error(), tt.names) || !contains(err.Error(), s.path()) {
			t.Errorf("%s: got %v, want an error that names %s and %q", tt.bucket, err, s.path(), tt.names)
		}
	}
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add(encodeEvents(nil))
	f.Add(encodeEvents([]eventAt{{1, 9, 5}, {2, 10, 3}, {7, 4000, 1 << 50}}))
	f.Add([]byte{2, 0, 0, 1, 1, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, buf []byte) {
		list, err := decodeEvents(buf)
		if err != nil {
			return
		}
		again, err := decodeEvents(encodeEvents(list))
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("got %v, %v, want %v", again, err, list)
		}
		from, to, err := eventTimes(buf)
		if a, b := timesOf(list); err != nil || a != from || b != to {
			t.Errorf("times: got %d to %d, %v, want %d to %d", from, to, err, a, b)
		}
	})
}

func FuzzHeader(f *testing.F) {
	s := memoryStore(f)
	machineOn(f, s).Apply(entryOf(f, 1, openCmd(1), sayCmd(1, 1, 1), askCmd(1, 2)))
	if err := s.flush(); err != nil {
		f.Fatal(err)
	}
	key := []byte(sid(1))
	if err := s.view(func(tx *bolt.Tx) error {
		f.Add(bytes.Clone(tx.Bucket(sessionsBucket).Get(key)[sealSize:]))
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		tx, err := s.db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := tx.Bucket(sessionsBucket).Put(key, seal(key, buf)); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			func() error { _, err := readState(tx, sid(1)); return err }(),
			func() error { _, err := placesOf(tx, sid(1), 0, 10); return err }(),
			func() error { _, err := readPlaces(tx, sid(1)); return err }(),
		} {
			if err != nil && !errors.Is(err, errCorrupt) {
				t.Errorf("got %v, want %v", err, errCorrupt)
			}
		}
	})
}
