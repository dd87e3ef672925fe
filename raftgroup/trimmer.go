package raftgroup

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// trimInterval is how often the log is compared with its retention.
	trimInterval = 10 * time.Second
	// trimTarget is the part of the retention that a round trims down to.
	trimTarget = 0.9
	// trimTimeout bounds the trim of one group.
	trimTimeout = 30 * time.Second
)

// logSize is what one group contributes to the node's log.
type logSize struct {
	group       uint32
	first, last uint64
	bytes       int64
	marks       []mark // oldest first
}

// indexAt is the last index that was known to exist at a time, 0 if none was.
func (s logSize) indexAt(at time.Time) uint64 {
	index := uint64(0)
	for _, m := range s.marks {
		if !m.at.After(at) {
			index = m.index
		}
	}
	return index
}

// freed estimates the bytes of first..through.
func (s logSize) freed(through uint64) int64 {
	if s.last < s.first || through < s.first || s.bytes <= 0 {
		return 0
	}
	through = min(through, s.last)
	return int64(float64(s.bytes) * float64(through-s.first+1) / float64(s.last-s.first+1))
}

// trimStep says that a group's log may be dropped through an index.
type trimStep struct {
	group   uint32
	through uint64
}

// planTrim decides what goes so that about excess bytes are freed: the entries
// of all groups that are older than one moment, the latest that is needed. It
// is a pure function.
func planTrim(sizes []logSize, excess int64) []trimStep {
	if excess <= 0 {
		return nil
	}
	var times []time.Time
	for _, s := range sizes {
		for _, m := range s.marks {
			times = append(times, m.at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	times = slices.CompactFunc(times, time.Time.Equal)
	n, _ := slices.BinarySearchFunc(times, excess, func(at time.Time, excess int64) int {
		freed := int64(0)
		for _, s := range sizes {
			freed += s.freed(s.indexAt(at))
		}
		if freed < excess {
			return -1
		}
		return 1
	})
	if len(times) == 0 {
		return nil
	}
	at := times[min(n, len(times)-1)]
	var steps []trimStep
	for _, s := range sizes {
		if through := s.indexAt(at); s.freed(through) > 0 {
			steps = append(steps, trimStep{group: s.group, through: min(through, s.last)})
		}
	}
	return steps
}

// trimmer keeps the node's log within its retention, oldest entries first.
type trimmer struct {
	host  *Host
	marks map[uint32][]mark // only run touches it
}

func newTrimmer(h *Host) *trimmer { return &trimmer{host: h, marks: make(map[uint32][]mark)} }

// run trims until stop is closed.
func (t *trimmer) run(stop <-chan struct{}) {
	ticker := time.NewTicker(trimInterval)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			t.round(now, stop)
		}
	}
}

func (t *trimmer) round(now time.Time, stop <-chan struct{}) {
	if err := t.complete(); err != nil {
		t.host.config.Logger.Debug("logs are not compacted", "error", err)
	}
	retention := t.host.config.LogRetention
	t.endLeases(retention)
	sizes := t.observe(now)
	total := t.host.config.Engine.Bytes()
	if total <= retention {
		return
	}
	for _, step := range planTrim(sizes, total-int64(float64(retention)*trimTarget)) {
		select {
		case <-stop:
			return
		default:
		}
		g, ok := t.host.Group(step.group)
		if !ok {
			continue
		}
		in, err := g.running()
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), trimTimeout)
		if in.leasesKnown() {
			if err := in.trim(ctx, step.through); err != nil {
				t.host.config.Logger.Debug("log is not trimmed", "group", step.group, "error", err)
			}
		}
		cancel()
	}
}

// complete drops what an earlier trim wanted to drop and a lease, or the shard,
// still needed then.
func (t *trimmer) complete() error {
	var errs []error
	for _, g := range t.host.Groups() {
		if in, err := g.running(); err == nil {
			errs = append(errs, in.complete())
		}
	}
	return errors.Join(errs...)
}

// observe takes the size of every log and remembers when it ended where.
func (t *trimmer) observe(now time.Time) []logSize {
	groups := t.host.Groups()
	sizes := make([]logSize, 0, len(groups))
	for _, g := range groups {
		in, err := g.running()
		if err != nil {
			continue
		}
		first, err1 := in.entries.FirstIndex()
		last, err2 := in.entries.LastIndex()
		if err1 != nil || err2 != nil {
			continue
		}
		marks := remember(t.marks[g.id], now, first, last)
		t.marks[g.id] = marks
		sizes = append(sizes, logSize{group: g.id, first: first, last: last, bytes: in.entries.Bytes(), marks: marks})
	}
	return sizes
}
