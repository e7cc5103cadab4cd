package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/skein-mesh/skein"
)

// Backups makes backups of the region, one at a time.
type Backups interface {
	// Start begins a backup to a depot, after which all but the newest keep of the region's go; 0 keeps all. It returns at
	// once: State tells how it goes.
	Start(ctx context.Context, to string, keep int) (BackupState, error)
	State() BackupState
}

// BackupState is the last backup that a node was asked for, or the one it makes now, as GET /v1/backups shows it.
type BackupState struct {
	Node    skein.NodeID `json:"node"`
	Running bool         `json:"running"`
	To      string       `json:"to,omitempty"` // empty: none since the node started
	Began   time.Time    `json:"began,omitzero"`
	Ended   time.Time    `json:"ended,omitzero"`
	Error   string       `json:"error,omitempty"`
	Backup  *Backup      `json:"backup,omitempty"`  // that was made
	Removed []string     `json:"removed,omitempty"` // older backups that went
}

// Backup is one backup.
type Backup struct {
	Name     string         `json:"name"`
	Region   skein.Region   `json:"region"`
	Epoch    uint64         `json:"epoch"` // of the region's cluster
	At       time.Time      `json:"at"`
	TookMS   int64          `json:"took_ms"`
	Node     skein.NodeID   `json:"node"` // that wrote it
	Groups   int            `json:"groups"`
	Sessions uint64         `json:"sessions"`
	Bytes    int64          `json:"bytes"`
	From     []skein.NodeID `json:"from"`  // whose replicas it has, by group
	Index    []uint64       `json:"index"` // of the groups' logs, by group
}

const maxKeep = 10_000

func (s *Server) startBackup(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	keep := 0
	if text := q.Get("keep"); text != "" {
		var err error
		if keep, err = strconv.Atoi(text); err != nil || keep < 1 || keep > maxKeep {
			s.fail(w, skein.Fault(skein.CodeMalformed, "keep %.20q: want 1 to %d", text, maxKeep))
			return
		}
	}
	state, err := s.cfg.Backups.Start(r.Context(), q.Get("to"), keep)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.cfg.Log.Info("backup ordered by an operator", "to", q.Get("to"), "keep", keep)
	write(w, http.StatusOK, state)
}

func (s *Server) backupState(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, s.cfg.Backups.State())
}
