package replication

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

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
func dump(t interface{ Fatal(...any) }, s *store) map[string]string {
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
