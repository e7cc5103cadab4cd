// Command raftwal measures the log stores that need raft v1.7.3: raft-wal, and raft-boltdb beside it. `bench logs` builds
// and runs it. It is a module of its own, since both import a part of go-metrics that raft v1.8.0 has done away with.
//
//	raftwal raft-wal|raft-boltdb PLAN    # a logload.Plan in JSON; prints a logload.Figures in JSON
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"

	"github.com/skein-mesh/skein/bench/logload"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "raftwal:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("want the name of a store and a plan, got %d arguments", len(args))
	}
	open, known := stores()[args[0]]
	if !known {
		return fmt.Errorf("store %q: want raft-wal or raft-boltdb", args[0])
	}
	var plan logload.Plan
	if err := json.Unmarshal([]byte(args[1]), &plan); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	figures, err := logload.Run(open, plan)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(figures)
}

func stores() map[string]logload.Open {
	return map[string]logload.Open{
		"raft-wal": func(dir string) (logload.Store, error) {
			s, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
			if err != nil {
				return nil, err
			}
			return logload.Adapt(s, entry), nil
		},
		"raft-boltdb": func(dir string) (logload.Store, error) {
			s, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db")})
			if err != nil {
				return nil, err
			}
			return logload.Adapt(s, entry), nil
		},
	}
}

var entry = logload.Entry[raft.Log]{
	Make: func(index uint64, data []byte) *raft.Log { return &raft.Log{Index: index, Term: 1, Data: data} },
	Data: func(l *raft.Log) []byte { return l.Data },
}
