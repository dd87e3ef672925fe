package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/snapshot"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// maxDroppedEntries bounds how often a log is trimmed behind a bad entry before
// all that the shard has applied is dropped at once.
const maxDroppedEntries = 16

// opening gathers what this node knows of one group, decides, and acts.
type opening struct {
	host     *Host
	group    uint32
	birth    *membership.Birth
	assigned bool
	giveUp   func(ctx context.Context) // of the group
	held     bool                      // the group waits for an install

	suspicions suspicions // what is held against the replica
	doubt      error      // why that cannot be known

	entries raftlog.Log
	shard   *storage.Shard // nil until it is open
	known   bool           // the engine knew the group before we opened its log

	dropped uint64 // the log was dropped through here since it was damaged; 0: it was not
	damage  string // the first that was found

	evident Evidence // what the last decision was made of
	report  Report
}

// shardPath is where the shard of a group lies in the data directory.
func (h *Host) shardPath(group uint32) string {
	return filepath.Join(h.config.Dir, "groups", strconv.FormatUint(uint64(group), 10), "shard.db")
}

// open returns a running instance, or a refusal with its reason. What was
// opened for an instance that does not run is closed again.
func (o *opening) open() (in *instance, d Decision, err error) {
	o.known = slices.Contains(o.host.config.Engine.Groups(), o.group)
	if o.entries, err = o.host.config.Engine.Open(o.group); err != nil {
		return nil, Decision{}, fmt.Errorf("open log of group %d: %w", o.group, err)
	}
	defer func() {
		if in == nil {
			err = errors.Join(err, o.closeParts())
		}
	}()
	installed, err := o.host.finishInstall(o.group, o.entries)
	if err != nil {
		return nil, Decision{}, err
	}
	o.known = o.known || installed
	if d, err = o.decide(); err != nil {
		return nil, d, err
	}
	o.report = o.reportAtOpen(d)
	if d.Action == ActionRefuse {
		return nil, d, nil
	}
	in, err = o.act(d)
	return in, d, err
}

func (o *opening) closeParts() error {
	errs := []error{o.entries.Close()}
	if o.shard != nil {
		errs = append(errs, o.shard.Close())
	}
	return errors.Join(errs...)
}

// decide takes the evidence and decides, again after each bad entry that may be
// dropped.
func (o *opening) decide() (Decision, error) {
	for dropped := 0; ; dropped++ {
		e, err := o.evidence()
		if err != nil {
			return Decision{}, err
		}
		o.evident = e
		d := Decide(e)
		if d.DropLog == 0 {
			return d, nil
		}
		through := d.DropLog
		if dropped >= maxDroppedEntries {
			through = e.Shard.Index
		}
		if o.dropped == 0 {
			o.damage = e.Log.Damage
		}
		o.dropped = through
		if err := o.entries.Drop(through); err != nil {
			return Decision{}, fmt.Errorf("drop log of group %d through %d: %w", o.group, through, err)
		}
	}
}

func (o *opening) evidence() (Evidence, error) {
	e := Evidence{Self: o.host.config.Self, Group: o.group, Birth: o.birth, Assigned: o.assigned}
	record, present, err := o.host.config.Votes.Record(o.group)
	switch {
	case errors.Is(err, raftlog.ErrVoteUnreadable):
		e.Vote = VoteEvidence{Present: true, Unreadable: true}
	case err != nil:
		return e, fmt.Errorf("read vote record of group %d: %w", o.group, err)
	case present:
		e.Vote = VoteEvidence{Present: true, Lineage: record.Lineage, Generation: record.Generation, CurrentTerm: record.CurrentTerm}
	}
	if e.Log, err = o.logEvidence(); err != nil {
		return e, err
	}
	lineage := e.Vote.Lineage
	if lineage == "" && o.birth != nil {
		lineage = o.birth.Lineage
	}
	e.Shard, err = o.shardEvidence(lineage, e.Log.Last)
	return e, err
}

func (o *opening) logEvidence() (LogEvidence, error) {
	first, err := o.entries.FirstIndex()
	if err != nil {
		return LogEvidence{}, fmt.Errorf("first index of group %d: %w", o.group, err)
	}
	last, err := o.entries.LastIndex()
	if err != nil {
		return LogEvidence{}, fmt.Errorf("last index of group %d: %w", o.group, err)
	}
	e := LogEvidence{Known: o.known, First: first, Last: last, Next: o.entries.NextIndex(), Generation: o.entries.Generation()}
	var corrupt *raftlog.CorruptError
	switch err := o.entries.Check(); {
	case errors.As(err, &corrupt):
		e.Damage, e.DamagedAt, e.TailUnknown = corrupt.Error(), corrupt.Index, corrupt.TailUnknown
		return e, nil
	case err != nil:
		return LogEvidence{}, fmt.Errorf("check log of group %d: %w", o.group, err)
	}
	if last > 0 {
		var entry raft.Log
		if err := o.entries.GetLog(last, &entry); err != nil {
			return LogEvidence{}, fmt.Errorf("last entry of group %d: %w", o.group, err)
		}
		e.LastTerm = entry.Term
	}
	return e, nil
}

// shardEvidence opens the shard's file, if there is one.
func (o *opening) shardEvidence(lineage string, replayThrough uint64) (ShardEvidence, error) {
	if o.shard == nil {
		if err := o.host.clearFolder(o.group); err != nil {
			return ShardEvidence{}, err
		}
		if _, err := os.Stat(o.host.shardPath(o.group)); errors.Is(err, os.ErrNotExist) {
			return ShardEvidence{}, errors.Join(o.host.unmark(o.group), o.host.forgetUnreadable(o.group))
		}
		if why, err := o.host.quarantined(o.group); why != "" || err != nil {
			return ShardEvidence{Present: true, Damage: why}, err
		}
		if o.doubt != nil {
			return ShardEvidence{Present: true, Damage: o.doubt.Error()}, nil
		}
		switch err := o.openShard(lineage, replayThrough); {
		case errors.Is(err, storage.ErrDamaged):
			return ShardEvidence{Present: true, Damage: err.Error()}, nil
		case errors.Is(err, storage.ErrIdentity):
			return o.strange(err)
		case err != nil:
			return ShardEvidence{}, err
		}
	}
	d := o.shard.Durable()
	return ShardEvidence{Present: true, Lineage: lineage, Index: d.Index, Term: d.Term}, nil
}

// strange is what is known of a shard's file that is not the one that belongs
// here: it may be one of another lineage, which a resync can build upon. One of
// another group or cluster was put in the place of the replica's own, and is worth
// to it what a file of noise is. Of one whose layout this binary does not know
// nobody can say whose it is.
func (o *opening) strange(why error) (ShardEvidence, error) {
	if errors.Is(why, storage.ErrLayout) {
		return ShardEvidence{Present: true, Damage: why.Error(), Strange: true}, nil
	}
	d, lineage, err := o.host.durable(o.group)
	if err != nil || lineage == "" {
		return ShardEvidence{Present: true, Damage: why.Error()}, err
	}
	return ShardEvidence{Present: true, Lineage: lineage, Index: d.Index, Term: d.Term}, nil
}

func (o *opening) openShard(lineage string, replayThrough uint64) (err error) {
	path := o.host.shardPath(o.group)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("make directory of group %d: %w", o.group, err)
	}
	options := o.host.shardOptions(o.group, lineage)
	options.ReplayThrough = replayThrough
	if o.shard, err = storage.OpenShard(options); err != nil {
		return fmt.Errorf("open shard of group %d: %w", o.group, err)
	}
	return nil
}

// act brings the parts to what was decided and starts Raft.
func (o *opening) act(d Decision) (*instance, error) {
	if o.shard == nil {
		last, err := o.entries.LastIndex()
		if err != nil {
			return nil, fmt.Errorf("last index of group %d: %w", o.group, err)
		}
		if err := o.openShard(d.Lineage, last); err != nil {
			return nil, err
		}
	}
	if err := o.prepare(d); err != nil {
		return nil, err
	}
	self := d.Server(o.host.config.Self)
	transport, err := o.host.config.Transport(o.group, d.Lineage, self)
	if err != nil {
		return nil, fmt.Errorf("transport of group %d: %w", o.group, err)
	}
	if _, ok := transport.(raft.WithPreVote); !ok {
		return nil, errors.Join(fmt.Errorf("transport of group %d knows no pre-vote", o.group), transport.Close())
	}
	p := parts{
		shard: o.shard, entries: o.entries, transport: transport,
		votes:     o.host.config.Votes.Store(o.group, d.Lineage, d.Generation),
		snapshots: snapshot.NewStore(o.shard),
		giveUp:    o.giveUp, held: o.held, suspect: o.suspicions.wrong != nil,
	}
	if d.Action == ActionBootstrap {
		configuration := raftConfiguration(o.birth.Voters)
		if err := raft.BootstrapCluster(o.host.config.Timers.raftConfig(self), p.entries, p.votes, p.snapshots,
			transport, configuration); err != nil {
			return nil, errors.Join(fmt.Errorf("bootstrap group %d: %w", o.group, err), transport.Close())
		}
	}
	in, err := startInstance(o.host, o.group, d, p)
	if err != nil {
		return nil, errors.Join(err, transport.Close())
	}
	if d.Action == ActionBootstrap {
		in.wg.Go(func() { in.birthCampaign(o.birth.Voters) })
	}
	return in, nil
}

// prepare brings log and vote record to the decision, the log first: a crash in
// between leaves a log of a higher generation than the record's, which the next
// start takes for what it is.
func (o *opening) prepare(d Decision) error {
	switch d.Action {
	case ActionBootstrap:
		if d.ForgetVote {
			if err := o.host.config.Votes.Remove(o.group); err != nil {
				return fmt.Errorf("forget the cut-short birth of group %d: %w", o.group, err)
			}
		}
	case ActionJoin:
		// From here on the engine knows the group: an empty log is not a lost one.
		if err := o.entries.Reset(1, d.Generation); err != nil {
			return fmt.Errorf("begin log of group %d: %w", o.group, err)
		}
	case ActionRenew:
		if err := o.entries.Reset(d.ResetLog, d.Generation); err != nil {
			return fmt.Errorf("reset log of group %d: %w", o.group, err)
		}
		record := raftlog.VoteRecord{Group: o.group, Lineage: d.Lineage, Generation: d.Generation, CurrentTerm: d.RaiseTerm}
		if err := o.host.config.Votes.Put(record); err != nil {
			return fmt.Errorf("begin generation %d of group %d: %w", d.Generation, o.group, err)
		}
	case ActionStart:
		if d.ResetLog > 0 {
			if err := o.entries.Reset(d.ResetLog, o.entries.Generation()); err != nil {
				return fmt.Errorf("reset log of group %d: %w", o.group, err)
			}
		}
	}
	return nil
}
