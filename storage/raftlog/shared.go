package raftlog

import (
	"log/slog"
	"time"
)

// SharedOptions configure the shared engine. The zero value is usable.
type SharedOptions struct {
	// SegmentBytes is the size of a segment file: 64 MiB by default.
	SegmentBytes int64
	// MemoryBytes bounds the recent entries that are served from memory: 16 MiB by default.
	MemoryBytes int64
	// GatherWindow is the longest wait for more appends to share an fdatasync: 1 ms by default; negative: none.
	GatherWindow time.Duration
	// AppendDeadline is the longest an append may take before the engine stops: AppendDeadline by default.
	AppendDeadline time.Duration
	// Fatal is called once, on a disk error or a missed deadline; the process must then exit.
	Fatal func(error)
	// OnCorrupt is told of each bad record found by a read of a running log (Raft swallows some of the
	// errors that GetLog returns). It must not block.
	OnCorrupt func(*CorruptError)
	Logger    *slog.Logger
}

// Shared is the engine in which all groups share one write-ahead log.
type Shared struct{}

// OpenShared opens or creates the write-ahead log in dir and reads and checks every record of it.
func OpenShared(dir string, o SharedOptions) (*Shared, error) { panic("todo") }

func (s *Shared) Open(group uint32) (Log, error) { panic("todo") }
func (s *Shared) Groups() []uint32               { panic("todo") }
func (s *Shared) Bytes() int64                   { panic("todo") }
func (s *Shared) Name() string                   { return "shared" }
func (s *Shared) Close() error                   { panic("todo") }

var _ Engine = (*Shared)(nil)
