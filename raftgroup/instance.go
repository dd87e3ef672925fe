package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/internal/raftfuture"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/snapshot"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// drainAtClose bounds the wait for entries on their way when an instance stops;
// what is still open then becomes unknown.
const drainAtClose = time.Second

// instance is one running Raft node of one shard. It is replaced as a whole
// when the group is stopped and started again.
type instance struct {
	group   uint32
	lineage string
	self    membership.ServerID
	log     *slog.Logger

	shard     *storage.Shard
	entries   raftlog.Log
	logs      recordedLog // entries, as Raft sees them
	transport Transport
	snapshots *snapshot.Store
	fsm       *fsm
	raft      *raft.Raft
	proposer  *proposer
	reads     readGate
	gaps      gapAlarm
	records   heldRecords
	contact   contact
	decoded   atomic.Pointer[decodedConfiguration] // the last that was asked for
	trimming  trimming

	startedFrom storage.Position // what the shard's file held when it started
	isHeld      atomic.Bool      // for an install, see hold.go
	isSuspect   atomic.Bool      // see suspectlead.go
	replaced    atomic.Bool      // its file is going to be: what was not written stays in the log alone
	handsOver   atomic.Bool      // a suspect leader looks for another one
	nudge       chan struct{}    // it has become suspect
	timers      Timers

	call     Caller
	giveUp   func(ctx context.Context) // hands the leadership over
	onChange func(group uint32)
	notify   chan bool             // Raft's leadership, written by its main loop
	seen     chan raft.Observation // a hint that the leader changed, or that a pre-vote was asked for
	silence  time.Duration         // after which a leader that says nothing counts as gone

	campaigns turns         // held while a campaign is checked and started
	births    *atomic.Int64 // campaigns of births under way on this node
	leadSince atomic.Int64
	rotten    atomic.Bool // a bad entry of its log was reported

	stop      chan struct{}
	ended     chan struct{} // closed when Raft has: what it has not answered then, it never answers
	stopOnce  sync.Once
	drainOnce sync.Once
	wg        sync.WaitGroup // watch, birth campaign
}

// parts are what opening hands to an instance, which closes them.
type parts struct {
	shard     *storage.Shard
	entries   raftlog.Log
	votes     raft.StableStore
	transport Transport
	snapshots *snapshot.Store
	giveUp    func(ctx context.Context)
	held      bool // starts as a held one
	suspect   bool // and as a suspect one
}

// startInstance wires Raft to its parts and starts it. On an error the parts
// are still the caller's.
func startInstance(h *Host, group uint32, d Decision, p parts) (*instance, error) {
	self := d.Server(h.config.Self)
	in := &instance{
		group: group, lineage: d.Lineage, self: self,
		log:   h.config.Logger.With("group", group),
		shard: p.shard, entries: p.entries, transport: p.transport, snapshots: p.snapshots,
		fsm:         newFSM(p.shard),
		startedFrom: p.shard.Durable().Position,
		timers:      h.config.Timers,
		call:        h.config.Call,
		giveUp:      p.giveUp,
		onChange:    h.config.OnChange,
		campaigns:   newTurns(),
		births:      &h.births,
		notify:      make(chan bool, 16),
		seen:        make(chan raft.Observation, 1),
		nudge:       make(chan struct{}, 1),
		stop:        make(chan struct{}), ended: make(chan struct{}),
	}
	in.reads.lanes = h.lanes
	in.fsm.onWrite = h.config.OnWrite
	if h.config.observe != nil {
		in.fsm.observe = func(entries []storage.Entry) { h.config.observe(group, entries) }
	}
	p.entries.SetSnapshotIndex(func() uint64 { return p.shard.Durable().Index })
	p.entries.SetApplied(func() uint64 { return p.shard.Applied().Index })
	in.isHeld.Store(p.held)
	in.isSuspect.Store(p.suspect)
	in.fsm.dropping = p.held
	in.logs = recordedLog{p.entries, in.recordTerm}
	p.transport.OnGap(in.gap)
	p.transport.OnAppend(in.rebase)
	p.transport.OnAppended(func(term, leaderCommit uint64, sentAfter time.Time) {
		// A new leader knows what is committed once it has committed in its term.
		if applied, _ := in.fsm.appliedTerm(); applied == term && !sentAfter.IsZero() {
			in.contact.appended(leaderCommit, p.shard.Applied().Index, sentAfter)
		}
	})

	config := in.timersNow().raftConfig(self)
	config.Logger = &raftLogger{log: in.log, repeats: &h.repeats}
	config.NotifyCh = in.notify
	votes, err := newFailStop(p.votes)
	if err != nil {
		return nil, fmt.Errorf("start raft of group %d: %w", group, err)
	}
	node, err := raft.NewRaft(config, in.fsm, in.logs, votes, p.snapshots, guardedTransport{p.transport, p.transport.(raft.WithPreVote)})
	if err != nil {
		return nil, fmt.Errorf("start raft of group %d: %w", group, err)
	}
	in.raft = node
	p.entries.SetFloor(in.floor) // until here nothing may be compacted
	in.proposer = &proposer{
		submit:   newTurns(),
		apply:    func(data []byte) raft.ApplyFuture { return raftfuture.EndWith(node.Apply(data, 0), in.ended) },
		leader:   func() membership.ServerID { leader, _ := in.leader(); return leader },
		inFlight: h.config.InFlight,
		slots:    h.slots,
	}
	in.silence = config.HeartbeatTimeout
	node.RegisterObserver(raft.NewObserver(in.seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RequestPreVoteRequest:
			return true
		}
		return false
	}))
	in.wg.Go(in.watch)
	return in, nil
}

// watch follows the leadership. It never blocks: Raft's main loop waits for it.
func (in *instance) watch() {
	for {
		select {
		case leads := <-in.notify:
			if leads && in.held() {
				in.wg.Go(in.handOver)
			} else if leads {
				in.lead()
				in.passOn()
			} else {
				in.leadSince.Store(0)
				in.proposer.depose()
				in.gaps.clear()
				in.records.end(nil)
			}
		case <-in.nudge:
			in.passOn()
			continue
		case o := <-in.seen:
			if _, asked := o.Data.(raft.RequestPreVoteRequest); asked {
				in.forgetLeader()
				continue
			}
		case <-in.stop:
			return
		}
		if in.onChange != nil {
			in.onChange(in.group)
		}
	}
}

// lead begins to act as a leader. The FSM sees neither Raft's no-op nor, through
// it, that all of the earlier terms is applied: this command shows it.
func (in *instance) lead() {
	in.leadSince.Store(time.Now().UnixNano())
	in.proposer.directAsync(storage.AppendNoop(nil))
}

// leader is the server that this replica holds for the leader.
func (in *instance) leader() (membership.ServerID, bool) {
	_, id := in.raft.LeaderWithID()
	if id == "" {
		return membership.ServerID{}, false
	}
	server, err := membership.ParseServerID(string(id))
	return server, err == nil
}

// leads notes the term in which this replica leads: the term, the state, and
// the same term again.
func (in *instance) leads() (term uint64, ok bool) {
	term = in.raft.CurrentTerm()
	if in.raft.State() != raft.Leader || in.raft.CurrentTerm() != term {
		return 0, false
	}
	return term, true
}

// recordTerm gives the term of an entry that a record names. A held one counts
// only while the log goes on behind it: see recordedLog.
func (in *instance) recordTerm(index uint64) (uint64, bool) {
	if d := in.shard.Durable(); d.Index == index {
		return d.Term, true
	}
	h := in.records.current()
	if h == nil || h.at.Index != index {
		return 0, false
	}
	first, err := in.entries.FirstIndex()
	return h.at.Term, err == nil && first > 0 && first <= index+1
}

// whileOpen gives a context that ends when the instance closes.
func (in *instance) whileOpen() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	in.wg.Go(func() {
		defer cancel()
		select {
		case <-in.stop:
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}

func (in *instance) configuration() raft.Configuration {
	return in.raft.GetConfiguration().Configuration()
}

// drain takes no more writes and waits, at most drainAtClose, for those on
// their way; a second call waits for nothing.
func (in *instance) drain() {
	in.drainOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainAtClose)
		defer cancel()
		in.proposer.close()
		select {
		case <-in.proposer.drained():
		case <-ctx.Done():
		}
	})
}

// close stops Raft, then the shard, then the log. Leaders were handed over
// before by the owner.
func (in *instance) close() error {
	in.stopOnce.Do(func() { close(in.stop) })
	in.drain()
	// Raft writes its last change of leadership into notify; nobody reads it
	// any longer, and at shutdown it does not wait for that.
	ended := in.raft.Shutdown()
	// Raft waits for its replication, which waits in RPCs to peers that are
	// down, each for its whole deadline: those end with the transport.
	errs := []error{in.transport.Close(), ended.Error()}
	close(in.ended)
	in.proposer.wg.Wait()
	in.wg.Wait()
	in.records.end(nil)
	closeShard := in.shard.Close
	if in.replaced.Load() {
		closeShard = in.shard.Abandon
	}
	errs = append(errs, closeShard(), in.entries.Close())
	return errors.Join(errs...)
}
