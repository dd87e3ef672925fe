package raftlog

import "log/slog"

// BoltOptions configure the boltdb engine.
type BoltOptions struct {
	// Groups lists the groups that have a file (the owner knows the directory layout). Nil: none.
	Groups func() ([]uint32, error)
	// Fatal is called once, on a disk error or a missed deadline; the process must then exit.
	Fatal     func(error)
	OnCorrupt func(*CorruptError)
	Logger    *slog.Logger
}

// Bolt is the engine with one raft-boltdb file a group.
type Bolt struct{}

// OpenBolt makes the engine; path gives the file of a group, whose directory is created when needed.
func OpenBolt(path func(group uint32) string, o BoltOptions) (*Bolt, error) { panic("todo") }

func (b *Bolt) Open(group uint32) (Log, error) { panic("todo") }
func (b *Bolt) Groups() []uint32               { panic("todo") }
func (b *Bolt) Bytes() int64                   { panic("todo") }
func (b *Bolt) Name() string                   { return "boltdb" }
func (b *Bolt) Close() error                   { panic("todo") }

var _ Engine = (*Bolt)(nil)
