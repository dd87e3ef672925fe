package raftgroup

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// repeatWindow is how long a message of Raft is held back after it was logged
// once: when a peer dies, 85 groups say the same thing within a second.
const repeatWindow = 10 * time.Second

// quietMessages are logged at debug level: what they tell is told by a state,
// a gap alarm or a line of ours.
var quietMessages = []string{
	"failed to send snapshot to", // the gap alarm: three errors each
	"failed to get snapshot",
	"failed to list snapshots",
	"failed to install snapshot",
	"failed to heartbeat to",
	"failed to contact",
	"failed to appendEntries to",
	"failed to pipeline appendEntries",
	"failed to start pipeline replication to",
	"failed to make requestVote RPC",
	"heartbeat timeout reached",
	"Election timeout reached",
	"failed to take snapshot", // Trim reports it
	"no known peers",
	"not part of stable configuration",
	"failed to get log", // the leader's side of a gap; a follower panics with it
	"failed to get previous log",
	"appendEntries rejected",
	"peer has newer term",
	"rejecting", // votes and pre-votes
}

// repeats thins out what all groups of a node say alike.
type repeats struct {
	mu   sync.Mutex
	seen map[string]*repeat // guarded by mu; bounded by the number of Raft's messages
}

type repeat struct {
	until      time.Time
	suppressed int
}

// admit reports whether the message may be logged now, and how many of its kind
// were held back since the last one.
func (r *repeats) admit(msg string, now time.Time) (suppressed int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[string]*repeat)
	}
	s := r.seen[msg]
	if s == nil {
		s = &repeat{}
		r.seen[msg] = s
	}
	if now.Before(s.until) {
		s.suppressed++
		return 0, false
	}
	suppressed, s.suppressed, s.until = s.suppressed, 0, now.Add(repeatWindow)
	return suppressed, true
}

// raftLogger is the hclog.Logger of one Raft instance: warnings and errors go
// to slog, thinned out; the rest is dropped, unless debug messages are wanted.
type raftLogger struct {
	log     *slog.Logger
	repeats *repeats
}

var _ hclog.Logger = (*raftLogger)(nil)

func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) { // whoever asked for it gets every word
		l.log.Debug("raft says", append([]any{"raft", msg}, args...)...)
		return
	}
	if level < hclog.Warn {
		return
	}
	slogLevel := slog.LevelWarn
	if level >= hclog.Error {
		slogLevel = slog.LevelError
	}
	for _, quiet := range quietMessages {
		if strings.HasPrefix(msg, quiet) {
			slogLevel = slog.LevelDebug
		}
	}
	if !l.log.Enabled(context.Background(), slogLevel) {
		return
	}
	suppressed, ok := l.repeats.admit(msg, time.Now())
	if !ok {
		return
	}
	attrs := make([]any, 0, len(args)+4)
	attrs = append(attrs, "raft", msg)
	attrs = append(attrs, args...)
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	l.log.Log(context.Background(), slogLevel, "raft says", attrs...)
}

func (l *raftLogger) Trace(string, ...any)          {}
func (l *raftLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *raftLogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *raftLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }
func (l *raftLogger) IsTrace() bool                 { return false }
func (l *raftLogger) IsDebug() bool                 { return false }
func (l *raftLogger) IsInfo() bool                  { return false }
func (l *raftLogger) IsWarn() bool                  { return true }
func (l *raftLogger) IsError() bool                 { return true }
func (l *raftLogger) ImpliedArgs() []any            { return nil }
func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{l.log.With(args...), l.repeats}
}
func (l *raftLogger) Name() string                   { return "raft" }
func (l *raftLogger) Named(string) hclog.Logger      { return l }
func (l *raftLogger) ResetNamed(string) hclog.Logger { return l }
func (l *raftLogger) SetLevel(hclog.Level)           {}
func (l *raftLogger) GetLevel() hclog.Level          { return hclog.Warn }
func (l *raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}
func (l *raftLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
