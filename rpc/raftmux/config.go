package raftmux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// Config says who we are and how peers are found and reached.
type Config struct {
	// Local is this node. Required.
	Local membership.NodeID
	// ClusterID gives the cluster's id, "" while the node has none: then it
	// neither dials nor accepts streams. Required.
	ClusterID func() string
	// Resolve gives the address of a node. It is asked before every dial, so
	// a changed address needs no notice. Required.
	Resolve func(membership.NodeID) (addr string, ok bool)
	// Dial opens a connection; nil means TCP. An error that wraps ErrRefused
	// (or the system's "connection refused") says that no process listens.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Key is the cluster key. When it is set both ends of a stream prove that
	// they hold it; nil or empty means that neither does.
	Key []byte
	// Logger is tagged by its owner; nil discards.
	Logger *slog.Logger
	// ObserveSnapshot, if set, sees the group of every InstallSnapshot that is
	// sent or received: tests assert that it is never a data group's.
	ObserveSnapshot func(group uint32)
	// Timings; zero fields take the defaults.
	Timings Timings
}

// Timings are the intervals of a Mux. Only tests have reason to change them.
type Timings struct {
	Ping         time.Duration // between pings on a stream, and of the clock that expires deadlines: 250 ms
	Silent       time.Duration // without a frame from a peer until PeerSilent: 2 s
	Break        time.Duration // without a frame until the stream is torn down and redialled: 5 s
	RaftDeadline time.Duration // of a Raft RPC; it ends at most one Ping later: 1.6 s, so under half of a 4 s lease
	AppendWait   time.Duration // for a peer that is late, of an AppendEntries that is no heartbeat: 60 s
	CallDeadline time.Duration // of a Call whose context has none: 5 s
	Redial       time.Duration // first pause between dials: 50 ms
	RedialMax    time.Duration // longest pause between dials: 500 ms
	DialTimeout  time.Duration // of one attempt: 1 s
	Hello        time.Duration // of the handshake: 2 s
	Lazy         time.Duration // heartbeats and empty AppendEntries wait at most: 20 ms
	Gather       time.Duration // entries, answers and votes wait at most, under load: 1 ms
	SnapshotStep time.Duration // of one chunk of the meta group's snapshot, or its last answer: 10 s
}

// DefaultTimings are the intervals of production.
func DefaultTimings() Timings {
	return Timings{
		Ping:         250 * time.Millisecond,
		Silent:       2 * time.Second,
		Break:        5 * time.Second,
		RaftDeadline: 1600 * time.Millisecond,
		AppendWait:   time.Minute,
		CallDeadline: 5 * time.Second,
		Redial:       50 * time.Millisecond,
		RedialMax:    500 * time.Millisecond,
		DialTimeout:  time.Second,
		Hello:        2 * time.Second,
		Lazy:         20 * time.Millisecond,
		Gather:       time.Millisecond,
		SnapshotStep: 10 * time.Second,
	}
}

// withDefaults fills zero fields.
func (t Timings) withDefaults() Timings {
	d := DefaultTimings()
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Ping, d.Ping}, {&t.Silent, d.Silent}, {&t.Break, d.Break},
		{&t.RaftDeadline, d.RaftDeadline}, {&t.AppendWait, d.AppendWait}, {&t.CallDeadline, d.CallDeadline},
		{&t.Redial, d.Redial}, {&t.RedialMax, d.RedialMax},
		{&t.DialTimeout, d.DialTimeout}, {&t.Hello, d.Hello},
		{&t.Lazy, d.Lazy}, {&t.Gather, d.Gather}, {&t.SnapshotStep, d.SnapshotStep},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return t
}

// validate names the first thing that is missing.
func (c *Config) validate() error {
	if err := c.Local.Validate(); err != nil {
		return fmt.Errorf("raftmux: local node: %w", err)
	}
	if c.ClusterID == nil || c.Resolve == nil {
		return errors.New("raftmux: ClusterID and Resolve are required")
	}
	return nil
}
