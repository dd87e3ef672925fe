package checking

import (
	"context"
	"log/slog"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Config is what this package knows of its node.
type Config struct {
	DataDir  string
	Settings func() config.AntiEntropy                    // in force
	Groups   func() []*raftgroup.Group                    // this node's replicas; none before it is a member
	Group    func(group uint32) (*raftgroup.Group, error) // one of them
	Log      Log                                          // of all groups
	Votes    Votes                                        // of all groups
	Checks   Checks
	Logger   *slog.Logger
}

// Log is the write-ahead log of all groups, as raftlog.Engine says.
type Log interface {
	Bytes() int64
	Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []raftlog.BadRecord, err error)
	ScrubFrames(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []raftlog.BadRecord, err error)
}

// Votes are the votes of all groups, as raftlog.Votes says.
type Votes interface {
	Scrub(ctx context.Context) (bytes int64, bad []raftlog.BadRecord, err error)
}

// Checks makes checks, and keeps what is known of their groups: the gateway does. Proofs are the groups' last ones that
// this node has heard of. RootsAt has replicas tell their roots at a cut, and reports whether they are equal. Note makes an
// event that every node sees.
type Checks interface {
	CheckGroup(ctx context.Context, group uint32, o antientropy.Options) (antientropy.Report, error)
	Proofs() map[uint32]api.Time
	RootsAt(ctx context.Context, group uint32, cut, except string) (equal bool)
	Note(kind string, group *uint32, node, format string, args ...any)
}

// settings are those in force, in the terms of package antientropy.
func (c *Config) settings() antientropy.Settings {
	s := c.Settings()
	return antientropy.Settings{Enabled: s.Enabled, Interval: s.Interval, ScrubInterval: s.ScrubInterval, Rate: s.Rate}
}

// Parts are the parts of this package, as they know each other.
type Parts struct {
	Pace     *Pace
	Logs     *Logs
	Suspects *Suspects
	Schedule *Schedule
	Scrub    *Scrub
}

// New makes them; nothing happens until their Runs.
func New(c Config) *Parts {
	p := &Parts{Pace: newPace(c.Settings), Suspects: newSuspects(&c), Schedule: newSchedule(&c)}
	p.Logs = newLogs(&c, p.Pace)
	p.Scrub = newScrub(&c, p.Pace, p.Logs, p.Suspects)
	return p
}
