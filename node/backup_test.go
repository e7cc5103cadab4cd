package node

import (
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/skein-mesh/skein/admin"
	"github.com/skein-mesh/skein/telemetry"
)

// Who orders a backup and asks at once how it goes is never told of the one before: that one was made, this one fails.
func TestStateAfterStartIsOfTheNewBackup(t *testing.T) {
	missing := "file://" + filepath.Join(t.TempDir(), "not", "there")
	synctest.Test(t, func(t *testing.T) {
		meters := telemetry.New()
		b := &backups{n: &Node{cfg: Config{Node: "eu-a-1", Region: "eu"}, log: slog.New(slog.DiscardHandler)}, orders: make(chan order),
			failures: meters.Counter("skein_backup_failures_total", "Failures."),
			state:    admin.BackupState{To: "file:///old", Backup: &admin.Backup{Name: "old"}}}
		var got admin.BackupState
		var fault error
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, fault = b.Start(t.Context(), missing, 0)
		}()
		o := <-b.orders
		synctest.Wait() // whoever runs the orders is slow to begin
		select {
		case <-done:
			t.Fatalf("Start has returned before the backup began, with %+v", got)
		default:
		}
		if err := b.make(t.Context(), o); err == nil {
			t.Error("a backup to a missing directory was made")
		}
		<-done
		if fault != nil || got.To != missing || !got.Running || got.Backup != nil {
			t.Errorf("Start: got %+v, %v; want one that runs, to %s", got, fault, missing)
		}
		if s := b.State(); s.Running || s.Error == "" || s.Backup != nil {
			t.Errorf("afterwards: got %+v; want the error", s)
		}
	})
}
