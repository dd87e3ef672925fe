package raftgroup

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// HoldRecord has a leader's snapshot store list the record of a cut, so that
// Raft goes on behind the cut with a replica that was brought to it, and makes
// the gap alarm of a peer wait for its install. It ends with release, or when
// this replica stops leading. ErrHeld while another owner holds one; the same
// owner replaces its own.
func (g *Group) HoldRecord(owner string, cut storage.Durable) (release func(), err error) {
	return nil, errors.New("not yet")
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
	return PinnedRecord{}, errors.New("not yet")
}

// RenewRecord counts the ttl of a pinned record anew. ErrHoldEnded: it is gone.
func (g *Group) RenewRecord(id string, ttl time.Duration) error { return errors.New("not yet") }

// UnpinRecord ends it; one that is gone already is no mistake.
func (g *Group) UnpinRecord(id string) {}

// RecordView is the view of a pinned record, for the leader's own source. It
// belongs to the record: do not close it. ErrHoldEnded: it is gone.
func (g *Group) RecordView(id string) (*storage.View, error) { return nil, errors.New("not yet") }
