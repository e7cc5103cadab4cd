package node

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication/archive"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/session"
)

func TestErasedWhileItIsArchived(t *testing.T) {
	d, err := backup.OpenDir(filepath.Join(t.TempDir(), "depot"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := backup.NewKey("ours.example", bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	phases := map[skein.SessionID]session.Phase{"eu~a": session.PhaseClosed, "eu~b": session.PhaseErased, "eu~c": session.PhasePurged}
	var batch []archive.Session
	var results []session.Result
	for _, id := range []skein.SessionID{"eu~a", "eu~b", "eu~c"} {
		batch = append(batch, archive.Session{ID: id, Subject: "ann", Seq: 1, Events: func(_ context.Context, after skein.Seq) ([]session.Event, error) {
			if after > 0 {
				return nil, nil
			}
			return []session.Event{{Session: id, Seq: 1, Kind: session.Opened, Subject: "ann"}}, nil
		}})
		results = append(results, session.Result{State: &session.State{ID: id, Phase: phases[id]}})
	}
	if _, err := archive.Write(t.Context(), d, key, archive.Place{Region: "eu", Day: time.Unix(0, 0)}, batch); err != nil {
		t.Fatal(err)
	}
	if err := withdraw(t.Context(), d, key, "eu", batch, results); err != nil {
		t.Fatal(err)
	}
	for id, phase := range phases {
		want := 1
		if phase == session.PhaseErased {
			want = 0
		}
		if n, err := archive.Find(t.Context(), d, key, "eu", archive.Wanted{Session: id}, &bytes.Buffer{}); err != nil || n != want {
			t.Errorf("%s, %s: found %d, %v, want %d", id, phase, n, err, want)
		}
	}
}
