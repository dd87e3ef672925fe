package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Defaults of Config.
const (
	DefaultWriteTimeout = 5 * time.Second
	// reportTimeout bounds how long a table waits for a node's report.
	reportTimeout = 2 * time.Second
)

// Config is what a Gateway is made of. What is an interface is required.
type Config struct {
	Self        membership.NodeID
	Directory   Directory
	Databases   Databases
	Collections Collections
	Host        Host
	Peers       Peers
	Liveness    Liveness
	Resyncs     Resyncs           // nil: this node takes none
	Scrubbed    func() Scrubbed   // nil: it scrubs nothing
	Background  func() Background // nil: nothing gives way
	Examiner    Examiner          // nil: replicas of this node are compared by their roots alone
	Drills      Drills            // nil: this node takes none
	// ChecksAtOnce is how many groups a verify job checks at once; 0: 64, of a deep one 16.
	ChecksAtOnce int

	Limits       storage.Limits
	WriteTimeout time.Duration // of a write with its retries, and of finding a leader for a read
	AutoCreate   func() bool   // whether a write makes its database; nil: yes
	// Now stamps points without a time. It fails while the node's clock is
	// further from the majority's than max_clock_offset. nil: time.Now.
	Now func() (time.Time, error)
	// ClockOffset is how far this node's clock is ahead of the majority's,
	// for the table of nodes. nil: not known.
	ClockOffset func() (offset time.Duration, known bool)
	JobsPath    string // file of finished jobs; "" keeps them in memory only
	Version     string
	Logger      *slog.Logger
}

// Gateway carries out the operations of this node. It is safe for concurrent
// use.
type Gateway struct {
	cfg       Config
	logger    *slog.Logger
	hints     *hints
	lastStamp atomic.Int64 // ns; stamps rise strictly, so that two points of a device never share one
	jobs      *Jobs
	proofs    proofs
	events    *eventRing

	handlers    map[Method]handler // constant
	gather      *gather
	checks      checks
	inspections inspections
	agreed      agreed

	readsElsewhere atomic.Uint64
}

// New checks the config and makes a Gateway. Close it to end its jobs.
func New(cfg Config) (*Gateway, error) {
	if cfg.Directory == nil || cfg.Host == nil || cfg.Peers == nil || cfg.Liveness == nil || cfg.Databases == nil || cfg.Collections == nil {
		return nil, errors.New("gateway: directory, databases, collections, host, peers and liveness are required")
	}
	if err := cfg.Self.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	cfg.Limits = cfg.Limits.WithDefaults()
	if cfg.WriteTimeout <= 0 {
		cfg.WriteTimeout = DefaultWriteTimeout
	}
	if cfg.AutoCreate == nil {
		cfg.AutoCreate = func() bool { return true }
	}
	if cfg.Now == nil {
		cfg.Now = func() (time.Time, error) { return time.Now(), nil }
	}
	if cfg.ClockOffset == nil {
		cfg.ClockOffset = func() (time.Duration, bool) { return 0, false }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	jobs, err := openJobs(cfg.JobsPath, cfg.Self.Name, cfg.Logger)
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, logger: cfg.Logger, hints: newHints(), jobs: jobs, events: newEventRing(time.Now())}
	jobs.ended = g.noteJob
	g.gather, g.handlers = newGather(g), g.allHandlers()
	g.checks.known, g.checks.skips = newConditions(g), newSkips(g.noteSkipped)
	g.checks.engine, err = antientropy.New(antientropy.Config{Cluster: checkCluster{g, g.checks.known, &sync.Map{}}, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Jobs is the list of this node's jobs.
func (g *Gateway) Jobs() *Jobs { return g.jobs }

// Limits are the bounds of a batch.
func (g *Gateway) Limits() storage.Limits { return g.cfg.Limits }

// WriteTimeout bounds a write with its retries.
func (g *Gateway) WriteTimeout() time.Duration { return g.cfg.WriteTimeout }

// Self is the name of this node.
func (g *Gateway) Self() string { return g.cfg.Self.Name }

// Close cancels the jobs of this node and waits for them.
func (g *Gateway) Close() error {
	err := g.jobs.close()
	g.inspections.close()
	g.gather.close()
	g.checks.skips.close()
	return err
}

// knownTable is the table once this node has one: a node that has just started
// knows neither the number of groups nor which of them exist.
func (g *Gateway) knownTable(ctx context.Context) (*Table, error) {
	if t := g.cfg.Directory.Table(); t.TotalGroups > 0 {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	err := g.cfg.Directory.Barrier(ctx)
	t := g.cfg.Directory.Table()
	if t.TotalGroups == 0 {
		return nil, api.E(api.NotReady, "retry, here or at another node", "the node has just started and does not know the groups yet").Because(err)
	}
	return t, nil
}

// node finds the id of a node by name.
func (t *Table) node(name string) (membership.NodeID, bool) {
	n, ok := t.Nodes[name]
	return n.NodeID, ok
}
