package replication

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	logQueue  = 256              // records that may wait for the log's writer; more are dropped
	logRepeat = 10 * time.Second // the same message is written once in this time
)

// raftLog carries the library's messages to slog without ever making it wait: a log pipe that nobody reads
// must not stop a replica. The library's words are one level louder than ours.
type raftLog struct {
	hclog.Logger // what the library does not use
	out          *slog.Logger
	queue        chan logRecord

	mu   sync.Mutex // guards last
	last map[string]time.Time
}

type logRecord struct {
	level slog.Level
	msg   string
	attrs []slog.Attr
}

func newRaftLog(out *slog.Logger) *raftLog {
	return &raftLog{Logger: hclog.NewNullLogger(), out: out, queue: make(chan logRecord, logQueue), last: map[string]time.Time{}}
}

// run writes records until ctx ends.
func (l *raftLog) run(ctx context.Context) {
	for {
		select {
		case r := <-l.queue:
			l.out.LogAttrs(ctx, r.level, "raft: "+r.msg, r.attrs...)
		case <-ctx.Done():
			return
		}
	}
}

func (l *raftLog) put(level slog.Level, msg string, args []any) {
	if !l.out.Enabled(context.Background(), level) || l.repeated(msg) {
		return
	}
	r := logRecord{level: level, msg: msg}
	for i := 0; i+1 < len(args); i += 2 { // formatted here: the library goes on to change what it passed
		r.attrs = append(r.attrs, slog.String(fmt.Sprint(args[i]), logValue(args[i+1])))
	}
	select {
	case l.queue <- r:
	default:
	}
}

func logValue(v any) string {
	if f, ok := v.(hclog.Format); ok && len(f) > 0 {
		if format, ok := f[0].(string); ok {
			return fmt.Sprintf(format, f[1:]...)
		}
	}
	return fmt.Sprint(v)
}

func (l *raftLog) repeated(msg string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if t, ok := l.last[msg]; ok && now.Sub(t) < logRepeat {
		return true
	}
	l.last[msg] = now // the library has a fixed set of messages
	return false
}

func (l *raftLog) Log(level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Error:
		l.Error(msg, args...)
	case hclog.Warn:
		l.Warn(msg, args...)
	default:
		l.Debug(msg, args...)
	}
}

func (l *raftLog) Debug(msg string, args ...any) {}
func (l *raftLog) Info(msg string, args ...any)  { l.put(slog.LevelDebug, msg, args) }
func (l *raftLog) Warn(msg string, args ...any)  { l.put(slog.LevelInfo, msg, args) }
func (l *raftLog) Error(msg string, args ...any) { l.put(slog.LevelWarn, msg, args) }

func (l *raftLog) With(...any) hclog.Logger       { return l }
func (l *raftLog) Named(string) hclog.Logger      { return l }
func (l *raftLog) ResetNamed(string) hclog.Logger { return l }
func (l *raftLog) GetLevel() hclog.Level          { return hclog.Info }
