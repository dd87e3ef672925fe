package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// Caller reaches the Directory of another node: the other side hands the
// payload to Serve and returns what Serve returns. An error that wraps
// ErrNotDelivered means that Serve has certainly not seen the request; after
// any other error it may have. Call returns soon after ctx is done.
type Caller interface {
	Call(ctx context.Context, to membership.NodeID, payload []byte) ([]byte, error)
}

// Config is what a Directory is made of.
type Config struct {
	Dir       string            // <data-dir>/meta: raft.db and snapshots/
	Self      membership.NodeID // its generation in the meta group is always 0
	Transport raft.Transport    // addresses are server ids
	Caller    Caller
	// Alive is gossip's hint: false for nodes that are thought to be down.
	// nil: all are alive. New replicas avoid nodes that are not.
	Alive func(membership.NodeID) bool
	// Policy reads the settings that the leader's decisions need from a table.
	// nil: DefaultPolicy.
	Policy func(*Table) Policy
	Timers Timers           // zero fields get their defaults
	Now    func() time.Time // stamps of commands; nil: time.Now
	Logger *slog.Logger
	// Fatal is called, once, when the log's disk failed or a command cannot be
	// understood. The process must end.
	Fatal func(error)
	// ExpectState is true when this data directory has been a member before:
	// finding no state then is ErrStateLost.
	ExpectState bool
}

// Timers of the meta group.
type Timers struct {
	Heartbeat time.Duration // also the election timeout; default 2 s
	Lease     time.Duration // of the leader; default 1.5 s
	// Commit is how late followers learn of a commit when nothing follows it;
	// default 500 ms. After each command the leader sends a nudge at once.
	Commit time.Duration
	// Poll is the interval of the assigner; default 15 s.
	Poll time.Duration
}

func (t Timers) withDefaults() Timers {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Heartbeat, 2*time.Second)
	set(&t.Lease, t.Heartbeat*3/4)
	set(&t.Commit, 500*time.Millisecond)
	set(&t.Poll, 15*time.Second)
	return t
}

// Directory is this node's replica of the meta group.
type Directory struct {
	cfg       Config
	self      membership.ServerID
	logger    *slog.Logger
	fatal     func(error) // cfg.Fatal, once
	running   running
	fsm       *fsm
	store     *store
	tasks     tasks
	transport *selfTransport
	installs  progress // of snapshots; the transport's goroutine only

	births  *births
	slots   chan struct{}      // requests in work on the leader: MaxRequests
	poke    chan struct{}      // capacity 1: something about the nodes changed
	nudge   chan struct{}      // capacity 1: followers should learn of a commit
	asked   atomic.Uint32      // takes turns through the nodes that askAround asks
	ready   atomic.Uint64      // term in which this leader has applied all before it; 0: none
	stop    context.CancelFunc // ends the loops
	stopped chan struct{}      // closed with it, for callers that wait
	loops   sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
}

// Open starts the replica. A fresh one waits until Bootstrap makes a new
// cluster of it or Join takes it into one.
func Open(cfg Config) (*Directory, error) {
	if err := cfg.Self.Validate(); err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	cfg = cfg.withDefaults()
	d := &Directory{
		cfg:     cfg,
		self:    cfg.Self.Server(0),
		logger:  cfg.Logger.With("group", "meta"),
		running: running{replaced: make(chan struct{}, 1)},
		slots:   make(chan struct{}, MaxRequests),
		poke:    make(chan struct{}, 1),
		nudge:   make(chan struct{}, 1),
		stopped: make(chan struct{}),
	}
	d.fatal = onceFatal(cfg.Fatal)
	store, err := openStore(cfg.Dir, d.logger, d.fatal)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	d.store = store
	d.fsm = newFSM(d.fatal)
	d.births = newBirths(d)
	if err := d.firstStart(); err != nil {
		return nil, errors.Join(fmt.Errorf("open directory: %w", err), store.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	for _, loop := range []func(context.Context){d.followLeadership, d.births.run, d.sendNudges, d.scrub} {
		d.loops.Go(func() { loop(ctx) })
	}
	d.campaignIfAlone()
	return d, nil
}

func (c Config) withDefaults() Config {
	c.Timers = c.Timers.withDefaults()
	if c.Alive == nil {
		c.Alive = func(membership.NodeID) bool { return true }
	}
	if c.Policy == nil {
		c.Policy = DefaultPolicy
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fatal == nil {
		c.Fatal = func(error) {}
	}
	return c
}

func onceFatal(fatal func(error)) func(error) {
	var once sync.Once
	return func(err error) { once.Do(func() { fatal(err) }) }
}

// Table gives the newest table of this node.
func (d *Directory) Table() *Table { return d.fsm.table.Load() }

// WaitFor waits until this node's table has reached an index.
func (d *Directory) WaitFor(ctx context.Context, index uint64) error {
	for {
		t := d.Table()
		if t.Index >= index {
			return nil
		}
		select {
		case <-t.Changed():
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d of the meta group, at %d: %w", index, t.Index, ctx.Err())
		case <-d.stopped:
			return ErrClosed
		}
	}
}

// Poke tells the leader's loops that something about the nodes changed (a
// node came or went). It never blocks.
func (d *Directory) Poke() {
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

// Leader names the leader of the meta group as this node knows it.
func (d *Directory) Leader() (membership.ServerID, bool) {
	_, id := d.raft().LeaderWithID()
	if id == "" {
		return membership.ServerID{}, false
	}
	leader, err := membership.ParseServerID(string(id))
	return leader, err == nil
}

// IsLeader reports whether this node leads the meta group.
func (d *Directory) IsLeader() bool { return d.raft().State() == raft.Leader }

// StepDown hands leadership to another voter, if this node has it.
func (d *Directory) StepDown(ctx context.Context) error {
	if !d.IsLeader() {
		return nil
	}
	in := d.raft()
	return d.await(ctx, in, in.LeadershipTransfer())
}

// Close stops the replica and waits for its goroutines. The transport is
// closed with it if it can be (raft.WithClose).
func (d *Directory) Close() error {
	d.closeOnce.Do(func() {
		d.stop()
		close(d.stopped)
		ended := d.running.end()
		// Raft waits for its replication, which waits in RPCs to nodes that are
		// down, each for its whole deadline: those end with the transport.
		err := errors.Join(d.transport.Close(), ended.Error())
		d.loops.Wait()
		d.tasks.Close()
		d.closeErr = errors.Join(err, d.store.Close())
	})
	return d.closeErr
}
