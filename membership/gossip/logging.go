package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// newLogger hands memberlist's lines to slog. They look like
// "[WARN] memberlist: text". What its delegates refuse we say ourselves, and
// its "errors" are a peer that does not answer: a warning at most.
func newLogger(logger *slog.Logger) *log.Logger { return log.New(bridge{logger}, "", 0) }

type bridge struct{ logger *slog.Logger }

// Write implements io.Writer: one call a line.
func (b bridge) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	level := slog.LevelDebug
	if end := bytes.IndexByte(text, ']'); end > 0 && text[0] == '[' {
		switch string(text[1:end]) {
		case "INFO":
			level = slog.LevelInfo
		case "WARN", "ERR", "ERROR":
			level = slog.LevelWarn
		}
		text = bytes.TrimSpace(text[end+1:])
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	for _, ours := range []string{"ignoring alive message", "Conflicting address", "Refuting", "push/pull", "Push/Pull", "Failed to join"} {
		if bytes.Contains(text, []byte(ours)) {
			level = slog.LevelDebug
		}
	}
	b.logger.Log(context.Background(), level, "memberlist", "text", string(text))
	return len(line), nil
}
