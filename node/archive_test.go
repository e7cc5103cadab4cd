package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/replication"
	"github.com/skein-mesh/skein/replication/archive"
	"github.com/skein-mesh/skein/replication/backup"
	"github.com/skein-mesh/skein/session"
	"github.com/skein-mesh/skein/telemetry"
)

// halfGroup has the history of some sessions only.
type halfGroup struct {
	torn  map[skein.SessionID]bool
	noted []skein.SessionID
}

func (g *halfGroup) History(_ context.Context, id skein.SessionID, after skein.Seq, _ int) ([]session.Event, error) {
	switch {
	case g.torn[id]:
		return nil, errors.New("its page is damaged")
	case after > 0:
		return nil, nil
	}
	return []session.Event{{Session: id, Seq: 1, Kind: session.Opened, Subject: "ann"}}, nil
}

func (g *halfGroup) Propose(_ context.Context, commands ...session.Command) ([]session.Result, error) {
	for _, c := range commands {
		g.noted = append(g.noted, c.Session)
	}
	return make([]session.Result, len(commands)), nil
}

// TestUnreadableHoldsUpNobody: what is behind a session that cannot be read is archived, that one is not noted, and both are told.
func TestUnreadableHoldsUpNobody(t *testing.T) {
	root := filepath.Join(t.TempDir(), "depot")
	d, err := backup.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	key, err := backup.NewKey("ours.example", bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	meters := telemetry.New()
	n := &Node{log: slog.New(slog.NewTextHandler(&log, nil))}
	n.cfg.Region = "eu"
	a := &archiver{n: n, key: key, kept: meters.Counter("kept", ""), unread: meters.Counter("unread", "")}
	days := []time.Time{time.Unix(0, 0), time.Unix(0, 0), time.Unix(0, 0), time.Unix(200_000, 0), time.Unix(400_000, 0)}
	var due []replication.DueSession
	for i, id := range []skein.SessionID{"eu~a", "eu~b", "eu~c", "eu~d", "eu~e"} {
		due = append(due, replication.DueSession{Session: id, Subject: "ann", Seq: 1, Last: days[i]})
	}
	left := "eu/archive/group-0/1970-01-01/" + strings.Repeat("0", 24)
	sealed, err := key.SealSame([]byte("lines"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), left, bytes.NewReader(sealed), int64(len(sealed))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(root, left), time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	g := &halfGroup{torn: map[skein.SessionID]bool{"eu~b": true, "eu~d": true}} // the latter alone on its day
	if err := a.group(t.Context(), &Depot{Store: d}, 0, g, due); err != nil {
		t.Fatal(err)
	}
	if want := []skein.SessionID{"eu~a", "eu~c", "eu~e"}; !slices.Equal(g.noted, want) {
		t.Errorf("noted in %v, want %v", g.noted, want)
	}
	if n, err := archive.Find(t.Context(), d, key, "eu", archive.Wanted{Subject: "ann"}, &bytes.Buffer{}); err != nil || n != 3 {
		t.Errorf("found %d, %v, want 3", n, err)
	}
	for range 2 { // the second has nothing to do for a day
		a.prune(t.Context(), &Depot{Store: d})
	}
	if objects, err := d.List(t.Context(), ""); err != nil || len(objects) != 4 || a.pruned.IsZero() {
		t.Errorf("%d objects, %v, want two batches and what was cut off gone", len(objects), err)
	}
	if a.kept.Value() != 3 || a.unread.Value() != 2 || !strings.Contains(log.String(), "session=eu~d") {
		t.Errorf("told: %d kept, %d unread, want 3 and 2; %s", a.kept.Value(), a.unread.Value(), log.String())
	}
}

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
