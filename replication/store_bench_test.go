package replication

import (
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/session"
)

// BenchmarkApplyAndFlush is what one replica does with turns of 512 bytes in 512 sessions, 64 to an entry, flushed every 1024.
// With TMPDIR on a memory file system it is CPU time only.
func BenchmarkApplyAndFlush(b *testing.B) {
	const sessions, perEntry, perFlush = 512, 64, 1024
	s := memoryStore(b)
	m := machineOn(b, s)
	index := uint64(0)
	for n := range sessions {
		index++
		m.Apply(entryOf(b, index, openCmd(n)))
	}
	var logs []*raft.Log
	for n := 0; n < b.N; n += perEntry {
		var cmds []session.Command
		for i := range perEntry {
			turn := (n+i)/sessions + 1
			cmd := sayCmd((n+i)%sessions, turn, skein.Seq(2*turn-1))
			a := cmd.Body.(session.Accept)
			a.Text, a.Reply = strings.Repeat("q", 128), &session.Reply{Text: strings.Repeat("a", 352), Memory: make([]byte, 32), Source: "faq:hours"}
			cmd.Body = a
			cmds = append(cmds, cmd)
		}
		index++
		logs = append(logs, entryOf(b, index, cmds...))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, l := range logs {
		for _, r := range m.Apply(l).([]session.Result) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		if i%(perFlush/perEntry) == 0 {
			if err := s.flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
