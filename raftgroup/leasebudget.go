package raftgroup

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// leaseEndTimeout bounds the end of one lease.
const leaseEndTimeout = 5 * time.Second

// pinnedLog is what live leases keep in the log of a group that is led here.
type pinnedLog struct {
	group  uint32
	bytes  int64
	oldest string // the lease that reaches back furthest
}

// planLeaseEnds decides which groups lose their oldest lease. Those that pin
// anything share the node's log budget, and each may pin half of its share. It is
// a pure function.
func planLeaseEnds(pinned []pinnedLog, budget int64) []pinnedLog {
	if len(pinned) == 0 || budget <= 0 {
		return nil
	}
	limit := budget / int64(len(pinned)) / 2
	var ends []pinnedLog
	for _, p := range pinned {
		if p.bytes > limit {
			ends = append(ends, p)
		}
	}
	return ends
}

// pinned gives what leases keep in this group's log, if it is led here.
func (in *instance) pinned() (pinnedLog, bool) {
	if _, ok := in.serves(); !ok {
		return pinnedLog{}, false
	}
	var oldest storage.Record
	floor := uint64(0)
	for _, r := range in.shard.Leases() {
		if from := r.Floor(); r.Log && (floor == 0 || from < floor) {
			oldest, floor = r, from
		}
	}
	if floor == 0 {
		return pinnedLog{}, false
	}
	first, err1 := in.entries.FirstIndex()
	last, err2 := in.entries.LastIndex()
	if err1 != nil || err2 != nil {
		return pinnedLog{}, false
	}
	p := pinnedLog{group: in.group, bytes: in.entries.Bytes(), oldest: oldest.ID}
	if floor > first {
		p.bytes -= logSize{first: first, last: last, bytes: p.bytes}.freed(floor - 1)
	}
	return p, true
}

// endLeases ends, through the log, what pins too much of it: its job begins anew.
func (t *trimmer) endLeases(budget int64) {
	var pinned []pinnedLog
	for _, g := range t.host.Groups() {
		if in, err := g.running(); err == nil {
			if p, ok := in.pinned(); ok {
				pinned = append(pinned, p)
			}
		}
	}
	for _, p := range planLeaseEnds(pinned, budget) {
		g, ok := t.host.Group(p.group)
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), leaseEndTimeout)
		_, err := g.End(ctx, p.oldest)
		cancel()
		t.host.config.Logger.Warn("lease ends early: it pins too much of the log", "group", p.group, "lease", p.oldest, "bytes", p.bytes, "error", err)
	}
}
