package directory

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// newRaftLogger hands raft's warnings and errors to slog; the rest of what it
// says is dropped.
func newRaftLogger(logger *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Warn, Output: io.Discard})
	l.RegisterSink(raftSink{logger})
	return l
}

type raftSink struct{ logger *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s raftSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	switch {
	case level == hclog.Warn:
		s.logger.Log(context.Background(), slog.LevelWarn, msg, args...)
	case level > hclog.Warn:
		s.logger.Log(context.Background(), slog.LevelError, msg, args...)
	}
}
