package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/snapshot"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/google/uuid"
)

// ErrNoRecord: the record is not pinned, or not any longer (its time is over, or
// this replica leads no more). Start over.
var ErrNoRecord = errors.New("record is not pinned")

// heldRecord is the record that a leader lists for a job, in place of its own.
// It is in memory only and ends with the leadership.
type heldRecord struct {
	owner   string
	at      storage.Position
	release func() // of the snapshot store

	// Of a pinned one:
	id    string
	view  *storage.View
	timer *time.Timer
}

// heldRecords is what an instance holds: one record at most.
type heldRecords struct {
	mu   sync.Mutex
	held *heldRecord // guarded by mu
}

func (r *heldRecords) current() *heldRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// end ends h, or with nil whatever is held.
func (r *heldRecords) end(h *heldRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil || h != nil && r.held != h {
		return
	}
	h, r.held = r.held, nil
	h.release()
	if h.timer != nil {
		h.timer.Stop()
	}
	if h.view != nil {
		_ = h.view.Close()
	}
}

// hold makes h the record, in place of one of the same owner.
func (r *heldRecords) hold(store *snapshot.Store, d storage.Durable, h *heldRecord) (err error) {
	r.mu.Lock()
	old := r.held
	r.mu.Unlock()
	if old != nil {
		if old.owner != h.owner {
			return fmt.Errorf("record is held for %s: %w", old.owner, ErrHeld)
		}
		r.end(old)
	}
	h.at = d.Position
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.release, err = store.Hold(d); err != nil {
		return fmt.Errorf("%w: %w", ErrHeld, err)
	}
	r.held = h
	return nil
}

// HoldRecord has a leader's snapshot store list the record of a cut, so that
// Raft goes on behind the cut with a replica that was brought to it. It ends with
// release, or when this replica stops leading. ErrHeld while another owner holds
// one; the same owner replaces its own. It keeps nothing in the log: that is the
// lease's part.
func (g *Group) HoldRecord(owner string, cut storage.Durable) (release func(), err error) {
	in, err := g.running()
	if err != nil {
		return nil, err
	}
	if _, ok := in.serves(); !ok {
		return nil, in.notLeading()
	}
	if term, known := in.termOf(cut.Index); known && term != cut.Term || cut.Index > in.shard.Applied().Index {
		return nil, fmt.Errorf("hold record %d of term %d in group %d: not this group's entry", cut.Index, cut.Term, g.id)
	}
	h := &heldRecord{owner: owner}
	return in.holdRecord(cut, h)
}

// holdRecord lists h while this replica leads.
func (in *instance) holdRecord(d storage.Durable, h *heldRecord) (release func(), err error) {
	if err := in.records.hold(in.snapshots, d, h); err != nil {
		return nil, fmt.Errorf("hold record %d of group %d: %w", d.Index, in.group, err)
	}
	// Deposed meanwhile: watch may have ended all records before this one.
	if _, ok := in.serves(); !ok {
		in.records.end(h)
		return nil, in.notLeading()
	}
	in.gaps.wake() // whom Raft waits for with another record it has to meet with this one
	return func() { in.records.end(h) }, nil
}

// PinnedRecord is a leader's durable state, pinned.
type PinnedRecord struct {
	ID      string
	Durable storage.Durable
}

// PinRecord is what stands for a cut where none can commit: the leader flushes,
// pins a view of what its file holds under an id, lists that as its record and
// trims nothing, until ttl has passed, UnpinRecord, or the end of its
// leadership. RenewRecord counts the ttl anew.
func (g *Group) PinRecord(ctx context.Context, owner string, ttl time.Duration) (PinnedRecord, error) {
	in, err := g.running()
	if err != nil {
		return PinnedRecord{}, err
	}
	if _, ok := in.serves(); !ok {
		return PinnedRecord{}, in.notLeading()
	}
	view, err := in.shard.Look(ctx)
	if err != nil {
		return PinnedRecord{}, fmt.Errorf("pin the record of group %d: %w", g.id, err)
	}
	d, err := durableOf(view)
	if err == nil && d.Index == 0 {
		err = ErrNoRecord
	}
	if err != nil {
		return PinnedRecord{}, errors.Join(fmt.Errorf("pin the record of group %d: %w", g.id, err), view.Close())
	}
	h := &heldRecord{owner: owner, id: uuid.NewString(), view: view}
	// The clock runs once it is held: the timer ends exactly this one.
	if _, err := in.holdRecord(d, h); err != nil {
		return PinnedRecord{}, errors.Join(err, view.Close())
	}
	in.records.mu.Lock()
	h.timer = time.AfterFunc(ttl, func() { in.records.end(h) })
	in.records.mu.Unlock()
	return PinnedRecord{ID: h.id, Durable: d}, nil
}

// durableOf is the record at a view.
func durableOf(view *storage.View) (storage.Durable, error) {
	state, err := view.State()
	if err != nil {
		return storage.Durable{}, err
	}
	return storage.ParseState(state)
}

// pinned finds a pinned record.
func (g *Group) pinned(id string) (*instance, *heldRecord, error) {
	in, err := g.running()
	if err != nil {
		return nil, nil, err
	}
	if h := in.records.current(); h != nil && h.view != nil && h.id == id {
		return in, h, nil
	}
	return nil, nil, fmt.Errorf("record %s of group %d: %w", id, g.id, ErrNoRecord)
}

// RenewRecord counts the ttl of a pinned record anew; ErrNoRecord if it is gone.
func (g *Group) RenewRecord(id string, ttl time.Duration) error {
	in, h, err := g.pinned(id)
	if err != nil {
		return err
	}
	in.records.mu.Lock()
	defer in.records.mu.Unlock()
	if in.records.held != h {
		return fmt.Errorf("record %s of group %d: %w", id, g.id, ErrNoRecord)
	}
	h.timer.Reset(ttl)
	return nil
}

// UnpinRecord ends it; one that is gone already is no mistake.
func (g *Group) UnpinRecord(id string) {
	if in, h, err := g.pinned(id); err == nil {
		in.records.end(h)
	}
}

// RecordView is the view of a pinned record, for the leader's own source. It
// belongs to the record: do not close it. ErrNoRecord if it is gone.
func (g *Group) RecordView(id string) (*storage.View, error) {
	_, h, err := g.pinned(id)
	if err != nil {
		return nil, err
	}
	return h.view, nil
}
