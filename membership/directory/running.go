package directory

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// running holds the instance of raft of this replica. It is replaced as a whole
// where its log has to be changed under it, which no running instance bears.
type running struct {
	instance atomic.Pointer[instance]
	halted   atomic.Pointer[error] // why there is none any more
	replaced chan struct{}         // capacity 1: another instance runs

	mu     sync.Mutex // guards changes of instance, and:
	closed bool
}

// instance is one raft of this replica. Its futures are for await.
type instance struct {
	*raft.Raft
	ended chan struct{} // closed when it was shut down, and waited for
	once  sync.Once
}

// Shutdown hides raft's: who waits for its end ends what waits for its answers.
func (in *instance) Shutdown() raft.Future { return shutdown{in, in.Raft.Shutdown()} }

type shutdown struct {
	in     *instance
	future raft.Future
}

// Error implements raft.Future.
func (s shutdown) Error() error {
	err := s.future.Error()
	s.in.once.Do(func() { close(s.in.ended) })
	return err
}

// instanceTransport is what one instance sees: its end is not the transport's.
type instanceTransport struct{ *selfTransport }

// Close implements raft.WithClose.
func (instanceTransport) Close() error { return nil }

var errReplacing = errors.New("the meta group's replica starts again")

// raft is the instance that runs, or the last one that ran.
func (d *Directory) raft() *instance { return d.running.instance.Load() }

// Halted says why this replica of the meta group was stopped; nil while it
// runs. Its table stays as it was, and grows old.
func (d *Directory) Halted() error {
	if err := d.running.halted.Load(); err != nil {
		return *err
	}
	return nil
}

// end lets no other instance begin and shuts the running one down. It does not
// wait for that: the future does.
func (r *running) end() raft.Future {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.instance.Load().Shutdown()
}

// firstStart starts the first instance, and what brings it other nodes' RPCs.
func (d *Directory) firstStart() error {
	used, err := d.store.used()
	if err != nil {
		return err
	}
	if d.cfg.ExpectState && !used {
		return fmt.Errorf("%s: %w", d.cfg.Dir, ErrStateLost)
	}
	d.transport = newSelfTransport(d.cfg.Transport)
	if err := d.startInstance(); err != nil {
		_ = d.transport.Close()
		return err
	}
	d.transport.start(d.take)
	return nil
}

func (d *Directory) startInstance() error {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(d.self.String())
	c.HeartbeatTimeout, c.ElectionTimeout = d.cfg.Timers.Heartbeat, d.cfg.Timers.Heartbeat
	c.LeaderLeaseTimeout, c.CommitTimeout = d.cfg.Timers.Lease, d.cfg.Timers.Commit
	c.SnapshotThreshold, c.TrailingLogs = snapshotEvery, trailingLogs
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.Logger = newRaftLogger(d.logger)
	d.store.votes.runs.Store(false)
	r, err := raft.NewRaft(c, d.fsm, d.store.logs, d.store.votes, d.store.snapshots, instanceTransport{d.transport})
	if err != nil {
		return fmt.Errorf("start raft of the meta group: %w", err)
	}
	d.store.votes.runs.Store(true)
	d.running.instance.Store(&instance{Raft: r, ended: make(chan struct{})})
	return nil
}

// replaceInstance stops raft, changes what it has on disk and starts it again.
// While there is none, other nodes' RPCs wait or fail.
func (d *Directory) replaceInstance(change func() error) error {
	r := &d.running
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	d.transport.SetHeartbeatHandler(func(rpc raft.RPC) { refuseRPC(rpc, errReplacing) })
	if err := r.instance.Load().Shutdown().Error(); err != nil {
		return fmt.Errorf("stop raft of the meta group: %w", err)
	}
	err := change()
	if err == nil {
		err = d.scrubNow() // a start needs the snapshots, and memory has them yet
	}
	if err == nil {
		err = d.startInstance()
	}
	if err != nil {
		d.fatal(err) // without an instance, and what is on disk is unknown
		return err
	}
	select {
	case r.replaced <- struct{}{}:
	default:
	}
	return nil
}

// halt stops raft for good, with an alarm.
func (d *Directory) halt(why error) {
	r := &d.running
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	r.halted.Store(&why)
	d.transport.SetHeartbeatHandler(func(rpc raft.RPC) { refuseRPC(rpc, why) })
	if err := r.instance.Load().Shutdown().Error(); err != nil {
		why = errors.Join(why, err)
	}
	d.logger.Error("this replica of the meta group has stopped: its table grows old", "error", why)
}
